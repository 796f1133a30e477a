//! Patches of pod status.

use std::sync::Arc;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cache::PodInfo;

/// Why a pod has no node.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The pod as it was decided on.
    pub pod: Arc<PodInfo>,
    /// `Unschedulable` or `SchedulerError`.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// The node for which room is made: `None` leaves it, an empty one clears it.
    pub nominated: Option<Arc<str>>,
}

impl Failed {
    /// Whether the pod's status says all this already.
    pub fn is_known(&self) -> bool {
        let conditions = self.pod.status().into_iter().flat_map(|status| status.conditions.iter().flatten());
        let said = conditions.filter(|condition| condition.type_ == "PodScheduled").any(|condition| {
            condition.status == "False"
                && condition.reason.as_deref() == Some(self.reason)
                && condition.message.as_deref() == Some(&self.message)
                && condition.observed_generation == self.pod.pod.metadata.generation
        });
        let nominated = self.pod.nominated().unwrap_or_default();
        said && self.nominated.as_ref().is_none_or(|wanted| **wanted == *nominated)
    }
}

/// The strategic merge patch that says why.
pub fn failed_patch(failed: &Failed, now: Timestamp) -> Value {
    let conditions = failed.pod.status().into_iter().flat_map(|status| status.conditions.iter().flatten());
    let since = conditions
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .find_map(|condition| condition.last_transition_time.clone())
        .unwrap_or(Time(now));
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": failed.reason,
        "message": failed.message,
        "lastProbeTime": null,
        "lastTransitionTime": since,
    });
    if let Some(generation) = failed.pod.pod.metadata.generation {
        condition["observedGeneration"] = generation.into();
    }
    let mut status = json!({ "conditions": [condition] });
    match failed.nominated.as_deref() {
        None => {}
        Some("") => status["nominatedNodeName"] = Value::Null,
        Some(node) => status["nominatedNodeName"] = node.into(),
    }
    // Another pod of the name must not get this one's status.
    json!({ "metadata": { "uid": &*failed.pod.uid }, "status": status })
}

/// The strategic merge patch that marks a victim of preemption (KEP-3329).
pub fn disrupted_patch(scheduler: &str, now: Timestamp) -> Value {
    json!({ "status": { "conditions": [{
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "lastProbeTime": null,
        "lastTransitionTime": Time(now),
    }] } })
}
