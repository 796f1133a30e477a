//! How far a rollout has come, in numbers and conditions.

use api_types::k8s::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::{SignedDuration, Timestamp};

use super::sets::{Sets, actual, available, max_unavailable, wanted};

pub(super) const AVAILABLE: &str = "Available";
pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const REPLICA_FAILURE: &str = "ReplicaFailure";
pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const PAUSED: &str = "DeploymentPaused";

/// A condition without its times.
pub(super) fn condition(
    kind: &str,
    status: &str,
    reason: &str,
    message: impl Into<String>,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        last_update_time: None,
        last_transition_time: None,
    }
}

/// The condition of that type.
pub(super) fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Sets a condition; one with the same status and reason stays as it is, times included.
pub(super) fn set(status: &mut DeploymentStatus, mut new: DeploymentCondition, now: Timestamp) {
    let known = find(status, &new.type_).cloned();
    if known.as_ref().is_some_and(|known| known.status == new.status && known.reason == new.reason) {
        return;
    }
    let since = known.filter(|known| known.status == new.status).and_then(|known| known.last_transition_time);
    new.last_transition_time = Some(since.unwrap_or(Time(now)));
    new.last_update_time = Some(Time(now));
    remove(status, &new.type_);
    status.conditions.get_or_insert_default().push(new);
}

/// Sets a condition even when it says the same again, so that its update time moves.
fn renew(status: &mut DeploymentStatus, mut new: DeploymentCondition, now: Timestamp) {
    let known = find(status, &new.type_).cloned();
    let since = known.filter(|known| known.status == new.status).and_then(|known| known.last_transition_time);
    new.last_transition_time = Some(since.unwrap_or(Time(now)));
    new.last_update_time = Some(Time(now));
    remove(status, &new.type_);
    status.conditions.get_or_insert_default().push(new);
}

/// Removes the condition of that type.
pub(super) fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
    status.conditions = status.conditions.take().filter(|conditions| !conditions.is_empty());
}

/// Counts over the sets, and whether enough replicas are available.
pub(super) fn counted(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let available_now: i32 = sets.all().map(available).sum();
    let ready = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let terminating =
        |set: &ReplicaSet| set.status.as_ref().map_or(Some(0), |status| status.terminating_replicas);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: nonzero(sets.all().map(actual).sum()),
        updated_replicas: nonzero(sets.new.as_ref().map_or(0, actual)),
        ready_replicas: nonzero(sets.all().map(ready).sum()),
        available_replicas: nonzero(available_now),
        unavailable_replicas: nonzero((sets.replicas() - available_now).max(0)),
        terminating_replicas: sets.all().map(terminating).sum(),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let enough = available_now >= wanted(deployment) - max_unavailable(deployment);
    let verdict = if enough {
        condition(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        condition(
            AVAILABLE,
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set(&mut status, verdict, now);
    status
}

/// The status during a rollout: counts, progress and failures of sets.
pub(super) fn rollout(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let mut status = counted(deployment, sets, now);
    if deadline(deployment).is_none() {
        remove(&mut status, PROGRESSING);
    }
    let before = deployment.status.clone().unwrap_or_default();
    let current = find(&before, PROGRESSING);
    let settled = status.replicas == status.updated_replicas
        && current.is_some_and(|condition| condition.reason.as_deref() == Some(NEW_SET_AVAILABLE));
    if deadline(deployment).is_some() && !settled {
        let subject = match &sets.new {
            Some(new) => format!("ReplicaSet {:?}", new.metadata.name.as_deref().unwrap_or("")),
            None => format!("Deployment {:?}", deployment.metadata.name.as_deref().unwrap_or("")),
        };
        if is_complete(deployment, &status) {
            let message = format!("{subject} has successfully progressed.");
            set(&mut status, condition(PROGRESSING, "True", NEW_SET_AVAILABLE, message), now);
        } else if progresses(&before, &status) {
            let message = format!("{subject} is progressing.");
            renew(&mut status, condition(PROGRESSING, "True", "ReplicaSetUpdated", message), now);
        } else if timed_out(deployment, &status, now) {
            let message = format!("{subject} has timed out progressing.");
            set(&mut status, condition(PROGRESSING, "False", TIMED_OUT, message), now);
        }
    }
    match failure(sets) {
        Some(failed) => set(&mut status, failed, now),
        None => remove(&mut status, REPLICA_FAILURE),
    }
    status
}

/// Whether all wanted replicas run the new template and nothing else is left.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = wanted(deployment);
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|n| n.unwrap_or(0) == wanted)
        && status.observed_generation >= deployment.metadata.generation
}

/// When a rollout that does not move is called failed; `None` when it is not waiting for anything.
pub(super) fn deadline_at(deployment: &Deployment, status: &DeploymentStatus) -> Option<Timestamp> {
    let condition = find(status, PROGRESSING)?;
    if is_complete(deployment, status)
        || [NEW_SET_AVAILABLE, TIMED_OUT].contains(&condition.reason.as_deref().unwrap_or(""))
        || condition.status == "Unknown"
    {
        return None;
    }
    let since = condition.last_update_time.as_ref()?.0;
    since.checked_add(SignedDuration::from_secs(i64::from(deadline(deployment)?))).ok()
}

/// `progressDeadlineSeconds`; the largest number means none.
pub(super) fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}

fn progresses(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |value: Option<i32>| value.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| n(status.replicas) - n(status.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || outdated(new) < outdated(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let reason = find(status, PROGRESSING).and_then(|condition| condition.reason.as_deref());
    reason == Some(TIMED_OUT) || deadline_at(deployment, status).is_some_and(|at| at < now)
}

/// A set's trouble with its pods; the new set's counts first.
fn failure(sets: &Sets) -> Option<DeploymentCondition> {
    let of = |set: &ReplicaSet| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE).cloned()
    };
    let found = sets.all().find_map(of)?;
    Some(condition(
        REPLICA_FAILURE,
        &found.status,
        found.reason.as_deref().unwrap_or(""),
        found.message.unwrap_or_default(),
    ))
}

fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
