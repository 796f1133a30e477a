//! What a node's heartbeats and conditions mean.

use std::time::Duration;

use api_types::k8s::api::core::v1::{Node, NodeCondition, Taint};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use jiff::Timestamp;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Condition, the status that taints, and the taint.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

/// Conditions that a silent node loses.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Labels that older programs look for, and where their values come from.
const LABEL_COPIES: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// How long silence is tolerated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    /// From a node that has reported before.
    pub running: Duration,
    /// From a node that never has.
    pub startup: Duration,
}

/// Signs of life, and when we last saw them change, on our own clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pulse {
    heartbeat: Option<Time>,
    renewed: Option<MicroTime>,
    pub seen_at: Timestamp,
}

impl Pulse {
    /// The pulse after a look at node and lease.
    pub(super) fn observe(
        before: Option<&Self>,
        node: &Node,
        renewed: Option<MicroTime>,
        now: Timestamp,
    ) -> Self {
        let heartbeat = ready(node).and_then(|condition| condition.last_heartbeat_time.clone());
        // A node that appears is as old as it says, so that a restart of ours does not lengthen a silence for ever.
        let first_seen = now;
        let seen_at = match before {
            None => first_seen,
            // Our own "Unknown" carries no new heartbeat, so it does not count as life.
            Some(before) if before.heartbeat == heartbeat && before.renewed == renewed => before.seen_at,
            Some(_) => now,
        };
        Self { heartbeat, renewed, seen_at }
    }

    /// When this node's silence becomes too long.
    pub(super) fn expires(&self, node: &Node, grace: Grace) -> Timestamp {
        let patience = if ready(node).is_some() { grace.running } else { grace.startup };
        self.seen_at.checked_add(patience).unwrap_or(Timestamp::MAX)
    }
}

/// The Ready condition.
pub(super) fn ready(node: &Node) -> Option<&NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Ready")
}

/// The status of Ready; Unknown when there is none.
pub(super) fn ready_status(node: &Node) -> &str {
    ready(node).map_or("Unknown", |condition| condition.status.as_str())
}

/// The conditions of a node that was silent too long; `None` when they say so already.
pub(super) fn unknown_conditions(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let before = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut conditions = before.clone();
    for kind in KUBELET_CONDITIONS {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(known) if known.status == "Unknown" => {}
            Some(known) => {
                known.status = "Unknown".to_owned();
                known.reason = Some("NodeStatusUnknown".to_owned());
                known.message = Some("Kubelet stopped posting node status.".to_owned());
                known.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    (conditions != before).then_some(conditions)
}

/// The taints that a node should have: foreign ones as they are, ours as its conditions say. A NoExecute taint is added only
/// when `may_evict`; one that is there and still right stays.
pub(super) fn taints(node: &Node, may_evict: bool, now: Timestamp) -> Vec<Taint> {
    let before = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let applies = |key: &str| {
        CONDITION_TAINTS.iter().any(|(kind, status, taint)| {
            *taint == key
                && conditions.iter().any(|condition| condition.type_ == *kind && condition.status == *status)
        })
    };
    let unschedulable = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    let wanted_schedule = |key: &str| if key == UNSCHEDULABLE { unschedulable } else { applies(key) };
    let ours = |key: &str| key == UNSCHEDULABLE || CONDITION_TAINTS.iter().any(|(.., taint)| *taint == key);
    let evicts = |key: &str| key == NOT_READY || key == UNREACHABLE;

    let mut taints: Vec<Taint> = before
        .iter()
        .filter(|taint| match taint.effect.as_str() {
            NO_SCHEDULE if ours(&taint.key) => wanted_schedule(&taint.key),
            NO_EXECUTE if evicts(&taint.key) => applies(&taint.key),
            _ => true,
        })
        .cloned()
        .collect();
    let keys = CONDITION_TAINTS.iter().map(|(.., key)| *key).chain([UNSCHEDULABLE]);
    for key in keys {
        for effect in [NO_EXECUTE, NO_SCHEDULE] {
            let wanted = match effect {
                NO_EXECUTE => evicts(key) && applies(key) && may_evict,
                _ => wanted_schedule(key),
            };
            if wanted && !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
                taints.push(Taint {
                    key: key.to_owned(),
                    effect: effect.to_owned(),
                    value: None,
                    time_added: Some(Time(now)),
                });
            }
        }
    }
    taints
}

/// Whether a NoExecute taint is due that the node does not have.
pub(super) fn wants_eviction(node: &Node) -> bool {
    let key = match ready(node).map(|condition| condition.status.as_str()) {
        Some("False") => NOT_READY,
        Some("Unknown") => UNREACHABLE,
        _ => return false,
    };
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    !taints.iter().any(|taint| taint.key == key && taint.effect == NO_EXECUTE)
}

/// Labels that are missing or differ from what they copy.
pub(super) fn labels(node: &Node) -> Vec<(&'static str, String)> {
    let labels = crate::common::selector::labels(&node.metadata);
    let differing = LABEL_COPIES.iter().filter_map(|(from, to)| {
        let value = labels.get(*from)?;
        (labels.get(*to) != Some(value)).then(|| (*to, value.clone()))
    });
    differing.collect()
}
