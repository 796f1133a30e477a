//! SchedulingGates: a pod with gates stays outside the queue (KEP-3521). The apiserver writes its condition.

use std::sync::Arc;

use crate::cache::PodInfo;
use crate::framework::{Event, Objects, Plugin, PreEnqueue, Rejection, Snapshot, Verdict};

/// The plugin.
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }
    fn pre_enqueue(self: Arc<Self>) -> Option<Arc<dyn PreEnqueue>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        matches!(event, Event::Updated { new, .. } if new.uid == pod.uid && gates(new).is_empty())
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, _: &Objects, pod: &PodInfo) -> Verdict {
        match gates(pod) {
            gates if gates.is_empty() => Ok(()),
            gates => Err(Rejection::unresolvable(format!("waiting for scheduling gates: {gates:?}"))),
        }
    }
}

fn gates(pod: &PodInfo) -> Vec<&str> {
    pod.spec().scheduling_gates.iter().flatten().map(|gate| gate.name.as_str()).collect()
}
