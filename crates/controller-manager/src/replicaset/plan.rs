//! How many pods to create, which to delete, and what the status says.

use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;

use super::kind::{Condition, Spec, Status};
use crate::common::{pods, selector};

/// Pods created or deleted in one reconciliation at most, so that one huge set does not starve the others.
pub(super) const BURST: usize = 500;

/// The state of one set, as the caches have it.
pub(super) struct Snapshot {
    pub spec: Spec,
    /// Pods that the set owns, whatever their state.
    pub owned: Vec<Arc<Pod>>,
    /// Pods of all sets with the same owner; used to spread deletions over nodes.
    pub related: Vec<Arc<Pod>>,
}

/// What to do about the pods.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Create this many.
    Create(usize),
    /// Delete these.
    Delete(Vec<Arc<Pod>>),
}

/// The step from the pods that are to the pods that should be; `None` when they agree.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Option<Action> {
    let mut active: Vec<Arc<Pod>> =
        snapshot.owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let wanted = usize::try_from(snapshot.spec.replicas).unwrap_or(0);
    if active.len() < wanted {
        return Some(Action::Create((wanted - active.len()).min(BURST)));
    }
    let surplus = active.len() - wanted;
    if surplus == 0 {
        return None;
    }
    pods::by_deletion_rank(&mut active, &snapshot.related, now);
    active.truncate(surplus.min(BURST));
    Some(Action::Delete(active))
}

/// The status for the pods as they are. `failure` is the reason and message of a failed creation or deletion.
pub(super) fn status(
    snapshot: &Snapshot,
    old: &[Condition],
    generation: i64,
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> Status {
    let template_labels = snapshot.spec.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let mut status =
        Status { observed_generation: generation, conditions: old.to_vec(), ..Status::default() };
    for pod in &snapshot.owned {
        status.terminating += i32::from(pods::is_terminating(pod));
        if !pods::is_active(pod) {
            continue;
        }
        status.replicas += 1;
        let labeled = pods::has_labels(Some(selector::labels(&pod.metadata)), template_labels);
        status.fully_labeled += i32::from(labeled);
        status.ready += i32::from(pods::is_ready(pod));
        status.available += i32::from(pods::is_available(pod, snapshot.spec.min_ready, now));
    }
    let known = status.conditions.iter().any(|condition| condition.type_ == FAILURE);
    match failure {
        None => status.conditions.retain(|condition| condition.type_ != FAILURE),
        Some((reason, message)) if !known => status.conditions.push(Condition {
            type_: FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        }),
        Some(_) => {}
    }
    status
}

const FAILURE: &str = "ReplicaFailure";

/// When the next ready pod becomes available; only sets with `minReadySeconds` have such a moment.
pub(super) fn next_available(snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    let active = snapshot.owned.iter().filter(|pod| pods::is_active(pod));
    active.filter_map(|pod| pods::available_at(pod, snapshot.spec.min_ready)).filter(|at| *at > now).min()
}
