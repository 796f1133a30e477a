//! Which pods are left over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Pod};
use jiff::{SignedDuration, Timestamp};

use crate::common::{pods, scheduling};

/// How long a node has to be missing before its pods go.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// All pods and nodes.
pub(super) struct Snapshot {
    pub pods: Vec<Arc<Pod>>,
    pub nodes: Vec<Arc<Node>>,
    /// Finished pods to keep; none are removed when it is not positive.
    pub threshold: i64,
}

/// Why a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has finished, and there are too many such.
    Finished,
    /// Its node no longer exists.
    NodeGone,
    /// It was deleted before it was bound.
    NeverBound,
    /// It is being deleted on a node that will not come back.
    OutOfService,
}

impl Reason {
    /// What the pod's DisruptionTarget condition says, for reasons that end a running pod.
    pub(super) fn disruption(self) -> Option<&'static str> {
        match self {
            Self::NodeGone => Some("PodGC: node no longer exists"),
            Self::OutOfService | Self::NeverBound | Self::Finished => None,
        }
    }
}

/// Notes since when nodes of pods are missing.
pub(super) fn note_missing(snapshot: &Snapshot, missing: &mut HashMap<String, Timestamp>, now: Timestamp) {
    let existing: HashSet<&str> =
        snapshot.nodes.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
    let wanted: HashSet<&str> =
        snapshot.pods.iter().map(|pod| pods::node(pod)).filter(|node| !node.is_empty()).collect();
    missing.retain(|node, _| wanted.contains(node.as_str()) && !existing.contains(node.as_str()));
    for node in wanted.difference(&existing) {
        missing.entry((*node).to_owned()).or_insert(now);
    }
}

/// The pods that go, and why.
pub(super) fn plan(
    snapshot: &Snapshot,
    missing: &HashMap<String, Timestamp>,
    now: Timestamp,
) -> Vec<(Arc<Pod>, Reason)> {
    let gone = |node: &str| missing.get(node).is_some_and(|since| now.duration_since(*since) >= QUARANTINE);
    let out: HashSet<&str> = snapshot
        .nodes
        .iter()
        .filter(|node| scheduling::taints(node).iter().any(|taint| taint.key == OUT_OF_SERVICE))
        .filter_map(|node| node.metadata.name.as_deref())
        .collect();
    let mut plan = Vec::new();
    for pod in &snapshot.pods {
        let node = pods::node(pod);
        let leaving = pod.metadata.deletion_timestamp.is_some();
        if !node.is_empty() && gone(node) {
            plan.push((Arc::clone(pod), Reason::NodeGone));
        } else if leaving && node.is_empty() && pod.metadata.deletion_grace_period_seconds != Some(0) {
            plan.push((Arc::clone(pod), Reason::NeverBound));
        } else if leaving && out.contains(node) {
            plan.push((Arc::clone(pod), Reason::OutOfService));
        }
    }
    plan.extend(finished(snapshot));
    plan
}

/// The oldest finished pods beyond the limit.
fn finished(snapshot: &Snapshot) -> Vec<(Arc<Pod>, Reason)> {
    let Ok(threshold) = usize::try_from(snapshot.threshold) else { return Vec::new() };
    if threshold == 0 {
        return Vec::new();
    }
    let mut finished: Vec<&Arc<Pod>> = snapshot.pods.iter().filter(|pod| pods::is_terminal(pod)).collect();
    let surplus = finished.len().saturating_sub(threshold);
    finished.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone()));
    finished.into_iter().take(surplus).map(|pod| (Arc::clone(pod), Reason::Finished)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::k8s::api::core::v1::{PodSpec, PodStatus};
    use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;

    fn pod(name: &str, node: &str, phase: &str, leaving: bool) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.metadata.deletion_timestamp = leaving.then_some(Time(Timestamp::UNIX_EPOCH));
        pod.spec = Some(PodSpec { node_name: (!node.is_empty()).then(|| node.into()), ..PodSpec::default() });
        pod.status = Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() });
        Arc::new(pod)
    }

    #[test]
    fn only_what_is_left_over_goes() {
        let mut node = Node::default();
        node.metadata.name = Some("here".into());
        let snapshot = Snapshot {
            pods: vec![
                pod("a", "here", "Running", true),
                pod("b", "gone", "Running", false),
                pod("c", "", "Pending", true),
                pod("d", "", "Pending", false),
                pod("e", "here", "Succeeded", false),
                pod("f", "here", "Failed", false),
            ],
            nodes: vec![Arc::new(node)],
            threshold: 1,
        };
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let mut missing = HashMap::new();
        note_missing(&snapshot, &mut missing, start);
        let names = |now| -> Vec<(String, Reason)> {
            plan(&snapshot, &missing, now)
                .into_iter()
                .map(|(pod, why)| (pod.metadata.name.clone().unwrap(), why))
                .collect()
        };
        assert_eq!(names(start), [("c".into(), Reason::NeverBound), ("e".into(), Reason::Finished)]);
        let later = start.checked_add(QUARANTINE).unwrap();
        assert_eq!(names(later)[0], ("b".into(), Reason::NodeGone));
    }
}
