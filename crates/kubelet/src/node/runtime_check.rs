//! Settings of the container runtime that do not fit the kubelet or the host, told before pods fail for them.

use serde_json::Value;

use crate::cgroups::Driver;
use crate::cri::{Runtime, v1};

/// What does not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// No pod can start.
    pub fatal: Option<String>,
    /// Pods may fail.
    pub warning: Option<String>,
}

/// Asks the runtime how it is set up.
pub async fn check(runtime: &Runtime, driver: Option<Driver>) -> Findings {
    let mut findings = Findings::default();
    let config = config(runtime).await;
    if let (Some(ours), Some(theirs)) = (driver, runtime_driver(runtime, &config).await)
        && ours != theirs
    {
        findings.fatal = Some(format!(
            "the kubelet's cgroup driver is {} and the container runtime's is {}; set cgroupDriver in the kubelet's configuration, or SystemdCgroup of the runtime, so that both are the same",
            name(ours),
            name(theirs)
        ));
    }
    if config.get("restrictOOMScoreAdj").and_then(Value::as_bool) == Some(false) && !may_lower_oom_scores() {
        findings.warning = Some(
            "this host does not let processes lower their OOM score (CAP_SYS_RESOURCE is missing), so sandboxes will fail to start; set restrict_oom_score_adj = true in containerd's CRI plug-in and restart it".into(),
        );
    }
    findings
}

/// containerd shows its configuration as JSON; other runtimes show none.
async fn config(runtime: &Runtime) -> Value {
    let answer = runtime.status(v1::StatusRequest { verbose: true }).await.ok();
    let text = answer.and_then(|answer| answer.info.get("config").cloned()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

async fn runtime_driver(runtime: &Runtime, config: &Value) -> Option<Driver> {
    if let Ok(answer) = runtime.runtime_config(v1::RuntimeConfigRequest {}).await {
        let driver = answer.linux?.cgroup_driver;
        return Some(if driver == v1::CgroupDriver::Systemd as i32 {
            Driver::Systemd
        } else {
            Driver::Cgroupfs
        });
    }
    let containerd = config.get("containerd")?;
    let default = containerd.get("defaultRuntimeName")?.as_str()?;
    let options = containerd.get("runtimes")?.get(default)?.get("options");
    let systemd = options.and_then(|options| options.get("SystemdCgroup")?.as_bool()).unwrap_or(false);
    Some(if systemd { Driver::Systemd } else { Driver::Cgroupfs })
}

fn name(driver: Driver) -> &'static str {
    match driver {
        Driver::Cgroupfs => "cgroupfs",
        Driver::Systemd => "systemd",
    }
}

/// Whether this process has CAP_SYS_RESOURCE (capabilities(7)), as its children will.
fn may_lower_oom_scores() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).map(str::trim);
    let bits = effective.and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or(u64::MAX);
    bits & (1 << CAP_SYS_RESOURCE) != 0
}
