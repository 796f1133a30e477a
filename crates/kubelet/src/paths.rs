//! Where things are on the node. The layout is upstream's, so that either kubelet finds the other's pods.

use std::path::{Path, PathBuf};

use api_types::k8s::api::core::v1::Pod;

use crate::pod::PodExt;

/// The kubelet's directories.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `--root-dir`, usually /var/lib/kubelet.
    pub root: PathBuf,
    /// `podLogsDir`, usually /var/log/pods.
    pub logs: PathBuf,
}

impl Paths {
    /// All pods' directories.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// Everything of one pod but its logs.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// A pod's volumes.
    pub fn volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }

    /// One volume; `plugin` as in `empty-dir`.
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.volumes(uid).join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// Bind mounts of subPaths.
    pub fn sub_path(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        self.pod(uid).join("volume-subpaths").join(volume).join(container).join(index.to_string())
    }

    /// The pod's /etc/hosts.
    pub fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// A container's private files, such as its termination message.
    pub fn container(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("containers").join(container)
    }

    /// Profiles of seccomp type Localhost.
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// A pod's log directory.
    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs.join(format!("{}_{}_{}", pod.namespace(), pod.name(), pod.uid()))
    }

    /// One log file, relative to the pod's log directory.
    pub fn log_file(container: &str, attempt: u32) -> String {
        format!("{container}/{attempt}.log")
    }

    /// Log links by container, which log collectors follow: a sibling of the pod logs.
    pub fn container_logs(&self) -> PathBuf {
        self.logs.parent().unwrap_or(Path::new("/")).join("containers")
    }
}
