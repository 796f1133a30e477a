//! What must be right before the kubelet starts, each with its cure.

use std::fs;

use anyhow::{Context as _, bail};

use crate::config::Configuration;
use crate::paths::Paths;

/// Checks the host.
pub fn check(configuration: &Configuration) -> Result<(), anyhow::Error> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the kubelet must run as root: it mounts volumes and makes cgroups");
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    // The first line is a heading.
    if configuration.fail_swap_on && swaps.lines().count() > 1 {
        bail!(
            "running with swap on is not supported, please disable swap (swapoff -a, and remove it from /etc/fstab) or set failSwapOn: false in the configuration"
        );
    }
    lower_own_oom_score(configuration.oom_score_adj);
    Ok(())
}

/// Makes the directories that everything else is below.
pub fn make_directories(paths: &Paths) -> Result<(), anyhow::Error> {
    for (path, flag) in [(&paths.root, "--root-dir"), (&paths.logs, "podLogsDir")] {
        fs::create_dir_all(path).with_context(|| format!("cannot create {} ({flag})", path.display()))?;
    }
    fs::create_dir_all(paths.pods()).with_context(|| format!("cannot create {}", paths.pods().display()))?;
    Ok(())
}

/// Makes it unlikely that the kernel kills the kubelet when memory runs out. Needs CAP_SYS_RESOURCE.
fn lower_own_oom_score(score: i32) {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", score.to_string()) {
        tracing::warn!(
            score,
            %error,
            "The kubelet's OOM score is not lowered (CAP_SYS_RESOURCE is missing); under memory pressure it may be killed like any process"
        );
    }
}
