//! One step of a Deployment: from what the caches hold to the writes that come next.
//!
//! A step never does two things that depend on each other's outcome: after its writes are visible the Deployment is looked
//! at again.

use std::collections::HashMap;

use api_types::k8s::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use jiff::Timestamp;

use super::scale::{self, Resize};
use super::sets::{self, Sets, replicas, wanted};
use super::status::{self, PAUSED, PROGRESSING, TIMED_OUT};

/// The state of one Deployment.
pub(super) struct Snapshot {
    pub deployment: Deployment,
    /// Owned ReplicaSets.
    pub owned: Vec<ReplicaSet>,
    /// Unfinished pods per owned set, by the set's uid.
    pub pods: HashMap<String, usize>,
}

/// A write. They are carried out in order; a failure ends the step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Create the new set; if another object has its name, count a collision.
    Create(Box<ReplicaSet>),
    /// Write a set back. With `from`, its size changed from that.
    Update {
        /// The set as it should be.
        set: Box<ReplicaSet>,
        /// The size it had.
        from: Option<i32>,
    },
    /// Delete a set beyond the history limit.
    Delete(Box<ReplicaSet>),
    /// Write the Deployment itself back: a rollback. With the event's kind is warning, reason and message.
    RollBack(Box<Deployment>, bool, &'static str, String),
    /// Write status, and the revision annotation that goes with it.
    Status(Box<DeploymentStatus>, Option<String>),
}

/// What to write, and when to look again if nothing changes.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub actions: Vec<Action>,
    pub again_at: Option<Timestamp>,
}

/// The next step.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Step {
    let mut deployment = snapshot.deployment.clone();
    let sets = Sets::of(&deployment, snapshot.owned.clone());
    let mut step = Step::default();
    if deployment.metadata.deletion_timestamp.is_some() {
        step.status(snapshot, &deployment, &sets, status::counted(&deployment, &sets, now));
        return step;
    }
    note_pause(&mut deployment, now);
    let paused = is_paused(&deployment);
    let resized = sets.all().filter(|set| replicas(set) > 0);
    let resized =
        { resized }.any(|set| sets::desired_annotation(set).is_some_and(|size| size != wanted(&deployment)));
    if paused || (sets::rollback_to(&deployment).is_none() && resized) {
        scale_only(&mut step, snapshot, &deployment, sets, now);
        return step;
    }
    if let Some(revision) = sets::rollback_to(&deployment) {
        step.actions.push(roll_back(&deployment, &sets, revision));
        return step;
    }
    if is_recreate(&deployment) {
        recreate(&mut step, snapshot, &deployment, sets, now);
    } else {
        roll(&mut step, snapshot, &deployment, sets, now);
    }
    step
}

/// Whether all old pods have to go before new ones come.
pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    sets::spec(deployment).strategy.and_then(|strategy| strategy.type_).as_deref() == Some("Recreate")
}

fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true))
}

/// Turns the progress clock off while paused, and on again afterwards.
fn note_pause(deployment: &mut Deployment, now: Timestamp) {
    if status::deadline(deployment).is_none() {
        return;
    }
    let paused = is_paused(deployment);
    let current = deployment.status.clone().unwrap_or_default();
    let reason = status::find(&current, PROGRESSING).and_then(|condition| condition.reason.clone());
    let condition = match reason.as_deref() {
        Some(TIMED_OUT) => return,
        Some(PAUSED) if !paused => {
            status::condition(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed")
        }
        reason if paused && reason != Some(PAUSED) => {
            status::condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused")
        }
        _ => return,
    };
    status::set(deployment.status.get_or_insert_default(), condition, now);
}

/// Paused, or resized in the middle of a rollout: sizes change, templates do not roll.
fn scale_only(step: &mut Step, snapshot: &Snapshot, deployment: &Deployment, mut sets: Sets, now: Timestamp) {
    adjust_new(step, deployment, &mut sets);
    for resize in scale::proportional(deployment, &sets) {
        step.resize(deployment, &mut sets, &resize);
    }
    if is_paused(deployment) && sets::rollback_to(deployment).is_none() {
        step.actions.extend(
            scale::expendable(deployment, &sets).into_iter().map(|set| Action::Delete(Box::new(set))),
        );
    }
    step.status(snapshot, deployment, &sets, status::counted(deployment, &sets, now));
}

fn roll(step: &mut Step, snapshot: &Snapshot, deployment: &Deployment, mut sets: Sets, now: Timestamp) {
    let mut deployment = deployment.clone();
    let created = ensure_new(step, &mut deployment, &mut sets, now);
    let size = sets.new.as_ref().map(|new| scale::new_size(&deployment, &sets, new));
    let mut moved = created;
    if let (Some(size), Some(new)) = (size, sets.new.clone())
        && size != replicas(&new)
    {
        moved = true;
        let name = new.metadata.name.unwrap_or_default();
        step.resize(&deployment, &mut sets, &Resize { name, to: size });
    }
    if !moved {
        for resize in scale::shrink_old(&deployment, &sets) {
            moved = true;
            step.resize(&deployment, &mut sets, &resize);
        }
    }
    finish(step, snapshot, &deployment, &sets, moved, now);
}

fn recreate(step: &mut Step, snapshot: &Snapshot, deployment: &Deployment, mut sets: Sets, now: Timestamp) {
    let mut deployment = deployment.clone();
    adjust_new(step, &deployment, &mut sets);
    let shrinking: Vec<Resize> = sets
        .old
        .iter()
        .filter(|set| replicas(set) > 0)
        .map(|set| Resize { name: set.metadata.name.clone().unwrap_or_default(), to: 0 })
        .collect();
    for resize in &shrinking {
        step.resize(&deployment, &mut sets, resize);
    }
    let old_pods = |set: &ReplicaSet| {
        snapshot.pods.get(set.metadata.uid.as_deref().unwrap_or_default()).copied().unwrap_or(0)
    };
    if !shrinking.is_empty() || sets.old.iter().any(|set| sets::actual(set) > 0 || old_pods(set) > 0) {
        finish(step, snapshot, &deployment, &sets, true, now);
        return;
    }
    ensure_new(step, &mut deployment, &mut sets, now);
    let mut moved = false;
    if let Some(new) = sets.new.clone()
        && replicas(&new) != wanted(&deployment)
    {
        moved = true;
        let name = new.metadata.name.unwrap_or_default();
        step.resize(&deployment, &mut sets, &Resize { name, to: wanted(&deployment) });
    }
    finish(step, snapshot, &deployment, &sets, moved, now);
}

/// Status, clean-up of a finished rollout, and the progress deadline.
fn finish(
    step: &mut Step,
    snapshot: &Snapshot,
    deployment: &Deployment,
    sets: &Sets,
    moved: bool,
    now: Timestamp,
) {
    if !moved && status::is_complete(deployment, &deployment.status.clone().unwrap_or_default()) {
        step.actions
            .extend(scale::expendable(deployment, sets).into_iter().map(|set| Action::Delete(Box::new(set))));
    }
    let status = status::rollout(deployment, sets, now);
    let deadline = status::deadline_at(deployment, &status);
    step.again_at = deadline.and_then(|at| at.checked_add(jiff::SignedDuration::from_secs(1)).ok());
    step.status(snapshot, deployment, sets, status);
}

/// Brings the new set's annotations and `minReadySeconds` up to date, if there is one.
fn adjust_new(step: &mut Step, deployment: &Deployment, sets: &mut Sets) {
    let revision = sets.next_revision();
    let Some(new) = &mut sets.new else { return };
    let wanted_ready = sets::spec(deployment).min_ready_seconds;
    let spec = new.spec.get_or_insert_default();
    let ready_differs = spec.min_ready_seconds.unwrap_or(0) != wanted_ready.unwrap_or(0);
    spec.min_ready_seconds = if ready_differs { wanted_ready } else { spec.min_ready_seconds };
    if sets::annotate_new(deployment, new, revision) || ready_differs {
        step.actions.push(Action::Update { set: Box::new(new.clone()), from: None });
    }
}

/// Makes sure that there is a new set; whether it had to be made.
fn ensure_new(step: &mut Step, deployment: &mut Deployment, sets: &mut Sets, now: Timestamp) -> bool {
    let has_deadline = status::deadline(deployment).is_some();
    let current = deployment.status.clone().unwrap_or_default();
    if let Some(new) = &sets.new {
        if has_deadline && status::find(&current, PROGRESSING).is_none() {
            let name = new.metadata.name.as_deref().unwrap_or_default();
            let found = status::condition(
                PROGRESSING,
                "True",
                "FoundNewReplicaSet",
                format!("Found new replica set {name:?}"),
            );
            status::set(deployment.status.get_or_insert_default(), found, now);
        }
        adjust_new(step, deployment, sets);
        return false;
    }
    let mut new = sets::fresh(deployment, sets.next_revision());
    let size = scale::new_size(deployment, sets, &new);
    sets::set_replicas(&mut new, size);
    if has_deadline {
        let name = new.metadata.name.as_deref().unwrap_or_default();
        let made = status::condition(
            PROGRESSING,
            "True",
            "NewReplicaSetCreated",
            format!("Created new replica set {name:?}"),
        );
        status::set(deployment.status.get_or_insert_default(), made, now);
    }
    step.actions.push(Action::Create(Box::new(new.clone())));
    sets.new = Some(new);
    true
}

fn roll_back(deployment: &Deployment, sets: &Sets, revision: i64) -> Action {
    let revision = if revision == 0 { last_revision(sets) } else { revision };
    let cleared = |to| Box::new(sets::rolled_back(deployment, to));
    let Some(target) = sets.all().find(|set| revision > 0 && sets::revision(*set) == revision) else {
        let message = "Unable to find last revision.".to_owned();
        return Action::RollBack(cleared(None), true, "DeploymentRollbackRevisionNotFound", message);
    };
    if sets.new.as_ref().is_some_and(|new| new.metadata.uid == target.metadata.uid) {
        let message = format!(
            "The rollback revision contains the same template as current deployment {:?}",
            deployment.metadata.name.as_deref().unwrap_or_default()
        );
        return Action::RollBack(cleared(None), true, "DeploymentRollbackTemplateUnchanged", message);
    }
    let message = format!(
        "Rolled back deployment {:?} to revision {revision}",
        deployment.metadata.name.as_deref().unwrap_or_default()
    );
    Action::RollBack(cleared(Some(target)), false, "DeploymentRollback", message)
}

/// The revision before the highest; 0 when there is none.
fn last_revision(sets: &Sets) -> i64 {
    let mut revisions: Vec<i64> = sets.all().map(sets::revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    revisions.iter().rev().nth(1).copied().unwrap_or(0)
}

impl Step {
    /// Gives a set another size, in `sets` and as an action; an update of the same set already planned is extended.
    fn resize(&mut self, deployment: &Deployment, sets: &mut Sets, resize: &Resize) {
        let mut all = sets.new.iter_mut().chain(&mut sets.old);
        let Some(set) = all.find(|set| set.metadata.name.as_deref() == Some(&resize.name)) else { return };
        let from = replicas(set);
        let annotated = sets::annotate_replicas(deployment, set);
        if from == resize.to && !annotated {
            return;
        }
        sets::set_replicas(set, resize.to);
        let from = (from != resize.to).then_some(from);
        let planned = self.actions.iter_mut().find_map(|action| match action {
            Action::Update { set: planned, from } if planned.metadata.name == set.metadata.name => {
                Some((planned, from))
            }
            _ => None,
        });
        match planned {
            Some((planned, before)) => {
                **planned = set.clone();
                *before = from;
            }
            None => self.actions.push(Action::Update { set: Box::new(set.clone()), from }),
        }
    }

    /// Adds a status write unless it would change nothing.
    fn status(
        &mut self,
        snapshot: &Snapshot,
        deployment: &Deployment,
        sets: &Sets,
        status: DeploymentStatus,
    ) {
        let annotation = |meta: &api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            crate::common::pods::annotation(meta, sets::REVISION).map(str::to_owned)
        };
        let revision = sets.new.as_ref().and_then(|new| annotation(&new.metadata));
        let revision =
            revision.filter(|revision| annotation(&deployment.metadata).as_ref() != Some(revision));
        if snapshot.deployment.status.as_ref() != Some(&status) || revision.is_some() {
            self.actions.push(Action::Status(Box::new(status), revision));
        }
    }
}
