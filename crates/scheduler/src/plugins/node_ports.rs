//! NodePorts: no two pods on one host port, protocol and address.

use std::sync::Arc;

use crate::cache::{HostPort, NodeInfo, PodInfo};
use crate::framework::{
    CycleState, Event, Filter, Plugin, PreFilter, PreFiltered, Rejection, Snapshot, Verdict,
};

/// The plugin.
pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::PodRemoved(removed) => conflict(&pod.ports, &removed.ports),
            Event::NodeAdded(_) => true,
            _ => false,
        }
    }
}

impl PreFilter for NodePorts {
    fn pre_filter(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        Ok(if pod.ports.is_empty() { PreFiltered::Skip } else { PreFiltered::Look })
    }
}

impl Filter for NodePorts {
    fn filter(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if conflict(&pod.ports, &node.ports) {
            return Err(Rejection::unschedulable(
                "node(s) didn't have free ports for the requested pod ports",
            ));
        }
        Ok(())
    }
}

fn conflict(wanted: &[HostPort], used: &[HostPort]) -> bool {
    wanted.iter().any(|wanted| {
        used.iter().any(|used| {
            wanted.port == used.port
                && wanted.protocol == used.protocol
                && (wanted.ip == used.ip || &*wanted.ip == "0.0.0.0" || &*used.ip == "0.0.0.0")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_conflicts_with_each() {
        let port =
            |ip: &str, protocol: &str, port| HostPort { ip: ip.into(), protocol: protocol.into(), port };
        let used = [port("10.0.0.1", "TCP", 80)];
        for (wanted, expected) in [
            (port("0.0.0.0", "TCP", 80), true),
            (port("10.0.0.1", "TCP", 80), true),
            (port("10.0.0.2", "TCP", 80), false),
            (port("10.0.0.1", "UDP", 80), false),
            (port("10.0.0.1", "TCP", 81), false),
        ] {
            assert_eq!(conflict(std::slice::from_ref(&wanted), &used), expected, "{wanted:?}");
        }
    }
}
