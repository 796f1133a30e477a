//! What becomes of an object, given what is known of its owners.

use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use client::PropagationPolicy;

use super::graph::{FOREGROUND, ORPHAN};

/// The state of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is there and stays.
    Solid,
    /// It does not exist.
    Absent,
    /// It waits for its dependents to go first.
    Waiting,
}

/// What to do with an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// Keep it, with only these owners.
    Rewrite(Vec<OwnerReference>),
    /// Delete it this way; `unblock` first, so that a cycle of foreground deletions can end.
    Delete {
        /// How its own dependents are treated.
        policy: PropagationPolicy,
        /// Whether its references must stop blocking.
        unblock: bool,
    },
}

/// Decides over the live object. `owners` pairs each of its references with the owner's state; `has_dependents` and
/// `dependents_wait` tell of the object's own dependents, and whether one of them waits for its own.
pub(super) fn verdict(
    live: &ObjectMeta,
    owners: &[(OwnerReference, Owner)],
    has_dependents: bool,
    dependents_wait: bool,
) -> Verdict {
    if owners.is_empty() {
        return Verdict::Keep;
    }
    let solid: Vec<OwnerReference> =
        owners.iter().filter(|(_, state)| *state == Owner::Solid).map(|(owner, _)| owner.clone()).collect();
    if !solid.is_empty() {
        return if solid.len() == owners.len() { Verdict::Keep } else { Verdict::Rewrite(solid) };
    }
    if owners.iter().any(|(_, state)| *state == Owner::Waiting) && has_dependents {
        return Verdict::Delete { policy: PropagationPolicy::Foreground, unblock: dependents_wait };
    }
    // What the object was told about its own dependents stays as it was.
    let has = |name: &str| live.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    let policy = if has(ORPHAN) {
        PropagationPolicy::Orphan
    } else if has(FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    };
    Verdict::Delete { policy, unblock: false }
}
