//! Moving replicas between sets. Every function gives the sizes that sets should have, as `(index in the slice, size)`.

use api_types::k8s::api::apps::v1::{Deployment, ReplicaSet};

use super::sets::{
    Sets, actual, available, by_age, desired_annotation, fences, max_annotation, max_total, max_unavailable,
    replicas, revision, wanted,
};

/// A set by name, and the size it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resize {
    pub name: String,
    pub to: i32,
}

fn resize(set: &ReplicaSet, to: i32) -> Resize {
    Resize { name: set.metadata.name.clone().unwrap_or_default(), to }
}

/// The size of the new set in a rolling update: as many more pods as the surge allows.
pub(super) fn new_size(deployment: &Deployment, sets: &Sets, new: &ReplicaSet) -> i32 {
    let wanted = wanted(deployment);
    if super::plan::is_recreate(deployment) || replicas(new) >= wanted {
        return wanted;
    }
    let room = max_total(deployment) - sets.replicas();
    if room <= 0 {
        return replicas(new);
    }
    replicas(new) + room.min(wanted - replicas(new))
}

/// The old sets' sizes in a rolling update: unhealthy pods go first, then as many as the fences allow.
pub(super) fn shrink_old(deployment: &Deployment, sets: &Sets) -> Vec<Resize> {
    let old_total: i32 = sets.old.iter().map(replicas).sum();
    if old_total == 0 {
        return Vec::new();
    }
    let least = wanted(deployment) - max_unavailable(deployment);
    let new_unavailable = sets.new.as_ref().map_or(0, |new| replicas(new) - available(new));
    let most_down = sets.replicas() - least - new_unavailable;
    if most_down <= 0 {
        return Vec::new();
    }
    let mut old: Vec<ReplicaSet> = sets.old.iter().filter(|set| replicas(set) > 0).cloned().collect();
    old.sort_by(by_age);
    let before: Vec<i32> = old.iter().map(replicas).collect();
    let mut sizes = before.clone();
    let mut removed = 0;
    for (set, size) in old.iter().zip(&mut sizes) {
        let unhealthy = (*size - available(set)).max(0).min(most_down - removed);
        *size -= unhealthy;
        removed += unhealthy;
    }
    let available_now: i32 = sets.all().map(available).sum();
    let mut spare = (available_now - least).max(0);
    for size in &mut sizes {
        let down = (*size).min(spare);
        *size -= down;
        spare -= down;
    }
    let changed = old.iter().zip(before).zip(sizes).filter(|((_, before), size)| before != size);
    changed.map(|((set, _), size)| resize(set, size)).collect()
}

/// The sizes when the Deployment was resized in the middle of a rollout, or is paused: the change is shared out in proportion.
pub(super) fn proportional(deployment: &Deployment, sets: &Sets) -> Vec<Resize> {
    let wanted = wanted(deployment);
    if let Some(single) = active_or_latest(sets) {
        return if replicas(single) == wanted { Vec::new() } else { vec![resize(single, wanted)] };
    }
    if let Some(new) = sets.new.as_ref().filter(|new| is_saturated(deployment, new)) {
        let others =
            sets.old.iter().filter(|set| replicas(set) > 0 && set.metadata.name != new.metadata.name);
        return others.map(|set| resize(set, 0)).collect();
    }
    if super::plan::is_recreate(deployment) {
        return Vec::new();
    }
    let mut active: Vec<&ReplicaSet> = sets.all().filter(|set| replicas(set) > 0).collect();
    let allowed = if wanted > 0 { max_total(deployment) } else { 0 };
    let to_add = allowed - active.iter().map(|set| replicas(set)).sum::<i32>();
    // The largest set gets what rounding leaves over; among equals the newer when growing, the older when shrinking.
    active.sort_by(|a, b| {
        let age = if to_add > 0 { by_age(b, a) } else { by_age(a, b) };
        replicas(b).cmp(&replicas(a)).then(age)
    });
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
    for set in &active {
        let share = share(deployment, set, to_add, added);
        added += share;
        sizes.push(replicas(set) + share);
    }
    if to_add != 0
        && let Some(first) = sizes.first_mut()
    {
        *first = (*first + to_add - added).max(0);
    }
    active.iter().zip(sizes).map(|(set, size)| resize(set, size)).collect()
}

/// What a set gets of `to_add` replicas, `added` of which are given out.
fn share(deployment: &Deployment, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
    if replicas(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(deployment, set);
    let allowed = to_add - added;
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

fn fraction(deployment: &Deployment, set: &ReplicaSet) -> i32 {
    if wanted(deployment) == 0 {
        return -replicas(set);
    }
    let total = f64::from(wanted(deployment) + fences(deployment).0);
    let status = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    let before = max_annotation(set).filter(|most| *most > 0).unwrap_or(status);
    if before == 0 {
        return 0;
    }
    let size = f64::from(replicas(set)) * total / f64::from(before);
    size.round() as i32 - replicas(set)
}

/// The only set with replicas; when none has any, the new one or the latest.
fn active_or_latest(sets: &Sets) -> Option<&ReplicaSet> {
    let mut active = sets.all().filter(|set| replicas(set) > 0);
    match (active.next(), active.next()) {
        (None, _) => sets.new.as_ref().or_else(|| sets.old.iter().max_by(|a, b| by_age(a, b))),
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// Whether the new set has all the pods that are wanted, and all are available.
fn is_saturated(deployment: &Deployment, new: &ReplicaSet) -> bool {
    let wanted = wanted(deployment);
    replicas(new) == wanted && desired_annotation(new) == Some(wanted) && available(new) == wanted
}

/// Old sets beyond the history limit that hold nothing, lowest revision first.
pub(super) fn expendable(deployment: &Deployment, sets: &Sets) -> Vec<ReplicaSet> {
    let Some(limit) = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit) else {
        return Vec::new();
    };
    let mut old: Vec<&ReplicaSet> =
        sets.old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    old.sort_by_key(|set| revision(*set));
    let idle = |set: &&&ReplicaSet| {
        let observed = set.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
        actual(set) == 0 && replicas(set) == 0 && set.metadata.generation.unwrap_or(0) <= observed
    };
    old.iter().take(surplus).filter(idle).map(|set| (*set).clone()).collect()
}
