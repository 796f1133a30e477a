//! The next step of a set, and its status.

use std::sync::Arc;

use api_types::int_or_string::IntOrString;
use api_types::k8s::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use api_types::k8s::api::core::v1::{Pod, PodTemplateSpec};
use jiff::Timestamp;

use super::identity;
use crate::common::pods;

/// A template and the name of the revision that stores it.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub name: String,
    pub template: PodTemplateSpec,
}

/// The state of one set.
pub(super) struct Snapshot {
    pub set: Arc<StatefulSet>,
    pub pods: Vec<Arc<Pod>>,
    /// What pods are made from until an update has reached them.
    pub current: Revision,
    /// What an update brings.
    pub update: Revision,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Create the pod of this ordinal, and its claims before it.
    Create(i32, Box<Pod>),
    /// Put back what makes a pod itself.
    Restore(Box<Pod>),
    /// Delete a pod that ended by itself, so that it is made again.
    Replace(Arc<Pod>),
    /// Delete a pod: it is not wanted any more.
    ScaleDown(Arc<Pod>),
    /// Delete a pod: the next one is of a newer revision.
    Update(Arc<Pod>),
}

/// The writes that may happen now. With ordered management there is at most one.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Vec<Action> {
    let spec = spec(&snapshot.set);
    let ordered = spec.pod_management_policy.as_deref() != Some("Parallel");
    let first = start(&spec);
    let last = first + spec.replicas.unwrap_or(1);
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let mut actions = Vec::new();
    for ordinal in first..last {
        let pod = find(snapshot, ordinal);
        let (action, settled) = replica(snapshot, &spec, ordinal, pod, min_ready, now);
        actions.extend(action);
        if ordered && !settled {
            return actions;
        }
    }
    let mut condemned: Vec<(i32, &Arc<Pod>)> = snapshot
        .pods
        .iter()
        .filter_map(|pod| identity::ordinal(&snapshot.set, pod).map(|ordinal| (ordinal, pod)))
        .filter(|(ordinal, _)| !(first..last).contains(ordinal))
        .collect();
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    let first_unhealthy = condemned.iter().rev().find(|(_, pod)| !healthy(pod)).map(|(ordinal, _)| *ordinal);
    for (ordinal, pod) in condemned {
        let leaving = pod.metadata.deletion_timestamp.is_some();
        if ordered && leaving {
            return actions;
        }
        // An unhealthy pod holds its turn, except when it is the one that is in everybody's way.
        if ordered && !healthy(pod) && first_unhealthy != Some(ordinal) {
            return actions;
        }
        if !leaving {
            actions.push(Action::ScaleDown(Arc::clone(pod)));
            if ordered {
                return actions;
            }
        }
    }
    if actions.is_empty() && !is_on_delete(&spec) {
        actions.extend(update(snapshot, &spec, first, last, min_ready, now));
    }
    actions
}

/// What one ordinal needs, and whether those after it may go on.
fn replica(
    snapshot: &Snapshot,
    spec: &StatefulSetSpec,
    ordinal: i32,
    pod: Option<&Arc<Pod>>,
    min_ready: i32,
    now: Timestamp,
) -> (Option<Action>, bool) {
    let Some(pod) = pod else {
        let revision =
            if keeps_current(snapshot, spec, ordinal) { &snapshot.current } else { &snapshot.update };
        let pod = identity::pod(&snapshot.set, &revision.template, &revision.name, ordinal);
        return (Some(Action::Create(ordinal, Box::new(pod))), false);
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return (None, false);
    }
    if pods::is_terminal(pod) {
        return (Some(Action::Replace(Arc::clone(pod))), false);
    }
    let ordered = spec.pod_management_policy.as_deref() != Some("Parallel");
    let settled = healthy(pod) && pods::is_available(pod, min_ready, now);
    let mut restored = Pod::clone(pod);
    // An ordered set leaves a pod alone until it is well.
    if (settled || !ordered) && identity::restore(&snapshot.set, &mut restored, ordinal) {
        return (Some(Action::Restore(Box::new(restored))), false);
    }
    (None, settled)
}

/// Pods with an older revision, highest ordinal first, as many as may be missing at once.
fn update(
    snapshot: &Snapshot,
    spec: &StatefulSetSpec,
    first: i32,
    last: i32,
    min_ready: i32,
    now: Timestamp,
) -> Vec<Action> {
    let rolling = spec.update_strategy.clone().unwrap_or_default().rolling_update.unwrap_or_default();
    let lowest = first + rolling.partition.unwrap_or(0);
    let replicas = i64::from(spec.replicas.unwrap_or(1));
    let limit = rolling.max_unavailable.as_ref().map(IntOrString::from);
    let limit = limit.and_then(|limit| limit.scaled(replicas, true).ok()).map_or(1, |n| n.max(1));
    let available = |pod: &Pod| {
        healthy(pod) && pods::is_available(pod, min_ready, now) && pod.metadata.deletion_timestamp.is_none()
    };
    let all: Vec<&Arc<Pod>> = (first..last).filter_map(|ordinal| find(snapshot, ordinal)).collect();
    let mut missing = i64::try_from(all.iter().filter(|pod| !available(pod)).count()).unwrap_or(i64::MAX);
    let mut actions = Vec::new();
    for pod in (lowest..last).rev().filter_map(|ordinal| find(snapshot, ordinal)) {
        let old = identity::revision(pod) != snapshot.update.name;
        let leaving = pod.metadata.deletion_timestamp.is_some();
        if old && !leaving {
            // One that is down already loses nothing by being replaced.
            if available(pod) && missing >= limit {
                break;
            }
            missing += i64::from(available(pod));
            actions.push(Action::Update(Arc::clone(pod)));
            if limit == 1 {
                break;
            }
        } else if !available(pod) && missing >= limit {
            break;
        }
    }
    actions
}

/// The status for the pods as they are.
pub(super) fn status(snapshot: &Snapshot, collisions: Option<i32>, now: Timestamp) -> StatefulSetStatus {
    let spec = spec(&snapshot.set);
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let (mut replicas, mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0, 0);
    for pod in snapshot.pods.iter().filter(|pod| identity::ordinal(&snapshot.set, pod).is_some()) {
        replicas += 1;
        if healthy(pod) {
            ready += 1;
            available += i32::from(pods::is_available(pod, min_ready, now));
        }
        if pod.metadata.deletion_timestamp.is_none() {
            current += i32::from(identity::revision(pod) == snapshot.current.name);
            updated += i32::from(identity::revision(pod) == snapshot.update.name);
        }
    }
    let old = snapshot.set.status.clone().unwrap_or_default();
    let mut revision = snapshot.current.name.clone();
    // The update is through: from now on it is what pods are made from.
    if !is_on_delete(&spec)
        && updated == replicas
        && ready == replicas
        && updated == spec.replicas.unwrap_or(1)
    {
        revision.clone_from(&snapshot.update.name);
        current = updated;
    }
    let nonzero = |count: i32| (count != 0).then_some(count);
    StatefulSetStatus {
        replicas,
        ready_replicas: nonzero(ready),
        available_replicas: Some(available),
        current_replicas: nonzero(current),
        updated_replicas: nonzero(updated),
        current_revision: Some(revision),
        update_revision: Some(snapshot.update.name.clone()),
        observed_generation: snapshot.set.metadata.generation,
        collision_count: collisions,
        conditions: old.conditions,
    }
}

/// When the next ready pod becomes available.
pub(super) fn next_available(snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    let min_ready = spec(&snapshot.set).min_ready_seconds.unwrap_or(0);
    snapshot.pods.iter().filter_map(|pod| pods::available_at(pod, min_ready)).filter(|at| *at > now).min()
}

/// Whether a missing pod is made from the current revision rather than from the update.
fn keeps_current(snapshot: &Snapshot, spec: &StatefulSetSpec, ordinal: i32) -> bool {
    if is_on_delete(spec) {
        return false;
    }
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let bound = match rolling {
        Some(rolling) => rolling.partition.unwrap_or(0),
        None => snapshot.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0),
    };
    ordinal < start(spec) + bound
}

fn find(snapshot: &Snapshot, ordinal: i32) -> Option<&Arc<Pod>> {
    snapshot.pods.iter().find(|pod| identity::ordinal(&snapshot.set, pod) == Some(ordinal))
}

fn healthy(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

fn spec(set: &StatefulSet) -> StatefulSetSpec {
    set.spec.clone().unwrap_or_default()
}

fn start(spec: &StatefulSetSpec) -> i32 {
    spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

fn is_on_delete(spec: &StatefulSetSpec) -> bool {
    spec.update_strategy.as_ref().is_some_and(|strategy| strategy.type_.as_deref() == Some("OnDelete"))
}
