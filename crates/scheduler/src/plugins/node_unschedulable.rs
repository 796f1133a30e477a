//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use std::sync::Arc;

use api_types::k8s::api::core::v1::Taint;

use super::tolerations::untolerated;
use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{CycleState, Event, Filter, Plugin, Rejection, Snapshot, Verdict};

/// The plugin.
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => fits(pod, node),
            Event::Updated { old, new } => old.spec().tolerations != new.spec().tolerations,
            _ => false,
        }
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if fits(pod, node) { Ok(()) } else { Err(Rejection::unresolvable("node(s) were unschedulable")) }
    }
}

fn fits(pod: &PodInfo, node: &NodeInfo) -> bool {
    if !node.unschedulable() {
        return true;
    }
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    untolerated(&[cordon], pod.spec().tolerations.as_ref(), |_| true).is_none()
}
