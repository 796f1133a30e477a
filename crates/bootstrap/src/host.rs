//! Where everything that belongs to one node lives on its host.

use std::path::{Path, PathBuf};

/// The file-system layout of one node. The first node of a host uses the usual places under `/`; further nodes on the
/// same host (in network namespaces, for development and tests) get a prefix of their own and never share a file.
#[derive(Clone, Debug)]
pub struct Host {
    prefix: PathBuf,
    netns: Option<PathBuf>,
}

impl Host {
    /// The layout below `prefix` (`/` for the host itself), with the node's processes in the network namespace `netns`
    /// when one is given (a path such as `/var/run/netns/NAME`).
    pub fn new(prefix: impl Into<PathBuf>, netns: Option<PathBuf>) -> Self {
        Self { prefix: prefix.into(), netns }
    }

    /// Whether this is the host's own layout, not one below a prefix.
    pub fn is_plain(&self) -> bool {
        self.prefix == Path::new("/")
    }

    /// The network namespace that the node's processes run in; `None` for the caller's own.
    pub fn netns(&self) -> Option<&Path> {
        self.netns.as_deref()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.prefix.join(path)
    }

    /// Certificates, kubeconfigs and manifests, as kubeadm lays them out.
    pub fn kubernetes(&self) -> PathBuf {
        self.at("etc/kubernetes")
    }

    /// The cluster's certificate authorities and the control plane's certificates.
    pub fn pki(&self) -> PathBuf {
        self.kubernetes().join("pki")
    }

    /// The directory whose pods the kubelet runs without being asked by an apiserver.
    pub fn manifests(&self) -> PathBuf {
        self.kubernetes().join("manifests")
    }

    /// A kubeconfig by its file name, such as `admin.conf`.
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.kubernetes().join(name)
    }

    /// The kubelet's own state: pods' volumes, certificates.
    pub fn kubelet_root(&self) -> PathBuf {
        self.at("var/lib/kubelet")
    }

    /// The KubeletConfiguration file.
    pub fn kubelet_config(&self) -> PathBuf {
        self.kubelet_root().join("config.yaml")
    }

    /// Container logs, one folder per pod.
    pub fn pod_logs(&self) -> PathBuf {
        self.at("var/log/pods")
    }

    /// Links to the container logs, by pod and container name, where log collectors look.
    pub fn container_logs(&self) -> PathBuf {
        self.at("var/log/containers")
    }

    /// etcd's data.
    pub fn etcd_data(&self) -> PathBuf {
        self.at("var/lib/etcd")
    }

    /// Everything that is ours alone and outlives a reboot: containerd's content, images.
    pub fn state(&self) -> PathBuf {
        self.at("var/lib/coxswain")
    }

    /// Sockets and pid files; gone after a reboot.
    pub fn run(&self) -> PathBuf {
        self.at("run/coxswain")
    }

    /// Logs of the processes that the supervisor keeps running.
    pub fn logs(&self) -> PathBuf {
        self.at("var/log/coxswain")
    }

    /// Everything that configures CNI.
    pub fn cni(&self) -> PathBuf {
        self.at("etc/cni")
    }

    /// CNI network configurations.
    pub fn cni_conf(&self) -> PathBuf {
        self.cni().join("net.d")
    }

    /// The leases of CNI's `host-local` address manager.
    pub fn cni_data(&self) -> PathBuf {
        self.at("var/lib/cni")
    }

    /// The CRI socket of the containerd that belongs to this node.
    pub fn cri_socket(&self) -> PathBuf {
        self.run().join("containerd/containerd.sock")
    }

    /// Our containerd's configuration file.
    pub fn containerd_config(&self) -> PathBuf {
        self.at("etc/coxswain/containerd.toml")
    }

    /// Kernel modules that are loaded at boot for this node.
    pub fn modules_at_boot(&self) -> PathBuf {
        self.at("etc/modules-load.d/coxswain.conf")
    }

    /// What the supervisor is to keep running.
    pub fn supervisor_config(&self) -> PathBuf {
        self.at("etc/coxswain/supervisor.yaml")
    }

    /// The parent of all pods' cgroups; nodes of one host must not share it.
    pub fn cgroup_root(&self) -> String {
        if self.is_plain() {
            return "/".to_owned();
        }
        let name =
            self.prefix.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        format!("/coxswain-{name}")
    }
}
