//! Keeps the cgroups of the QoS classes in step with the pods in them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Cgroups, Error, Limits, burstable_shares};
use crate::host::Host;
use crate::pod::Qos;
use crate::pod::resources::{cpu_shares, milli, whole};
use crate::pod_worker::registry::Registry;

/// How often.
const PERIOD: Duration = Duration::from_secs(10);

/// Works until `stop`. With `enforce`, all pods together get no more than the node offers them.
pub async fn maintain(
    cgroups: Arc<Cgroups>,
    registry: Arc<Registry>,
    host: Arc<Host>,
    enforce: bool,
    stop: CancellationToken,
) {
    let mut last = None;
    loop {
        let wanted = (burstable_shares(&registry.active()), all_pods(&host, enforce));
        if last != Some(wanted) {
            match apply(&cgroups, wanted) {
                Ok(()) => last = Some(wanted),
                Err(error) => tracing::warn!(
                    error = format!("{:#}", anyhow::Error::new(error)),
                    "Cgroups of QoS classes not updated"
                ),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

fn apply(cgroups: &Cgroups, (burstable, all): (u64, Limits)) -> Result<(), Error> {
    cgroups.ensure(&cgroups.pods(), &all)?;
    let class = Limits { cpu_shares: Some(burstable), ..Limits::default() };
    cgroups.ensure(&cgroups.class(Qos::Burstable), &class)
}

fn all_pods(host: &Host, enforce: bool) -> Limits {
    if !enforce {
        return Limits::default();
    }
    let offered = host.allocatable();
    Limits {
        cpu_shares: offered.get("cpu").map(|cpu| cpu_shares(milli(cpu))),
        // The eviction threshold is not taken off: eviction is to act before the kernel does.
        memory: host.capacity().get("memory").map(whole),
        ..Limits::default()
    }
}
