//! NodeName: a pod that names its node gets that one or none.

use std::sync::Arc;

use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{CycleState, Event, Filter, Plugin, Rejection, Snapshot, Verdict};

/// The plugin.
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        matches!(event, Event::NodeAdded(node) if pod.node_name() == Some(&node.name))
    }
}

impl Filter for NodeName {
    fn filter(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match pod.node_name() {
            Some(name) if *name != *node.name => {
                Err(Rejection::unresolvable("node(s) didn't match the requested node name"))
            }
            _ => Ok(()),
        }
    }
}
