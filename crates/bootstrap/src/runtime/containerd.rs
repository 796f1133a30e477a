//! The node's own containerd: its configuration, made for the machine that it finds.

use std::path::Path;

use crate::failure::Result;
use crate::files::{self, Mode};
use crate::host::Host;

/// Which cgroup manager containerd and the kubelet share; they must agree, or pods are killed at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Plain files below /sys/fs/cgroup, for hosts whose process 1 isn't systemd.
    Cgroupfs,
    /// systemd's units, for hosts where systemd owns the hierarchy.
    Systemd,
}

impl CgroupDriver {
    /// The driver for this host.
    pub fn detect() -> Self {
        if systemd_is_running() { Self::Systemd } else { Self::Cgroupfs }
    }

    /// The name that the kubelet's configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }
}

/// Whether systemd is process 1 here (sd_booted(3)).
pub fn systemd_is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What containerd's configuration depends on.
pub struct Settings {
    /// The image of every pod's sandbox.
    pub sandbox_image: String,
    /// See [`CgroupDriver`].
    pub cgroup_driver: CgroupDriver,
    /// Folder with the CNI plug-in programs.
    pub cni_bin: std::path::PathBuf,
    /// Whether containers may not be given a lower oom_score_adj than containerd's own: true where root lacks
    /// CAP_SYS_RESOURCE, else every sandbox would fail.
    pub restrict_oom_score_adj: bool,
}

impl Settings {
    /// Looks at the machine. `sandbox_image` is the only thing it can't tell.
    pub fn detect(sandbox_image: &str) -> Self {
        Self {
            sandbox_image: sandbox_image.to_owned(),
            cgroup_driver: CgroupDriver::detect(),
            cni_bin: cni_bin().to_path_buf(),
            restrict_oom_score_adj: !has_sys_resource(),
        }
    }
}

/// Writes the configuration and returns the command that runs containerd with it.
pub fn configure(host: &Host, settings: &Settings) -> Result<Vec<String>> {
    files::write(&host.containerd_config(), render(host, settings), Mode::Public)?;
    files::make_dir(&host.cni_conf())?;
    Ok(vec!["/usr/bin/containerd".into(), "--config".into(), host.containerd_config().display().to_string()])
}

fn render(host: &Host, settings: &Settings) -> String {
    let run = host.run().join("containerd");
    format!(
        r#"# Written by `bootstrap`; made anew when it runs again.
version = 2
root = "{root}"
state = "{state}"

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  restrict_oom_score_adj = {restrict}
  # Below our own folder, so that a reset finds every pod's network namespace.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{cni_conf}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = {systemd}

[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
"#,
        root = host.state().join("containerd").display(),
        state = run.display(),
        socket = host.cri_socket().display(),
        sandbox = settings.sandbox_image,
        restrict = settings.restrict_oom_score_adj,
        cni_bin = settings.cni_bin.display(),
        cni_conf = host.cni_conf().display(),
        systemd = settings.cgroup_driver == CgroupDriver::Systemd,
        opt = host.state().join("containerd-opt").display(),
    )
}

/// Where the CNI plug-ins are: Debian's package puts them into /usr/lib/cni, upstream's archive into /opt/cni/bin.
pub fn cni_bin() -> &'static Path {
    let candidates = [Path::new("/opt/cni/bin"), Path::new("/usr/lib/cni")];
    candidates.into_iter().find(|folder| folder.join("bridge").exists()).unwrap_or(candidates[1])
}

/// Whether this process has CAP_SYS_RESOURCE (capabilities(7), bit 24), without which no process may lower its
/// oom_score_adj.
pub fn has_sys_resource() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << CAP_SYS_RESOURCE) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_one_host_share_no_path() {
        let settings = Settings {
            sandbox_image: "pause".into(),
            cgroup_driver: CgroupDriver::Cgroupfs,
            cni_bin: "/usr/lib/cni".into(),
            restrict_oom_score_adj: true,
        };
        let first = render(&Host::new("/", None), &settings);
        let second = render(&Host::new("/var/lib/coxswain/nodes/n2", None), &settings);
        let paths = |text: &str| -> Vec<String> {
            let quoted = text.lines().filter_map(|line| line.split('"').nth(1));
            quoted
                .filter(|value| value.starts_with('/') && !value.starts_with("/usr"))
                .map(str::to_owned)
                .collect()
        };
        let (first, second) = (paths(&first), paths(&second));
        assert!(first.len() >= 5, "{first:?}");
        assert!(first.iter().all(|path| !second.contains(path)), "{first:?} {second:?}");
    }
}
