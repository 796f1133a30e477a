//! Preemption: which pods of lower priority have to go so that a pod fits (KEP-268). Pure; the binder deletes them.

mod choose;
mod victims;

use std::collections::HashMap;
use std::sync::Arc;

use crate::cache::{PodInfo, Slot};
use crate::framework::{Code, CycleState, Diagnosis, Profile, Rejection, Snapshot};

pub use choose::Candidate;

/// The pod and the world it is tried in.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// Its plugins.
    pub profile: &'a Profile,
    /// The world.
    pub snapshot: &'a Snapshot<'a>,
    /// The state that PreFilter left.
    pub state: &'a CycleState,
    /// The pod that needs room.
    pub pod: &'a Arc<PodInfo>,
}

/// Finds the node on which making room costs least, looking at `enough` candidates from the `offset`th node on.
///
/// # Errors
/// What each node says, when none helps.
pub fn find(
    trial: &Trial<'_>,
    diagnosis: &Diagnosis,
    enough: impl Fn(usize) -> usize,
    offset: usize,
) -> Result<Candidate, Box<Diagnosis>> {
    let order = trial.snapshot.cache.order();
    let helpful = |slot: &Slot| diagnosis.code(*slot) == Code::Unschedulable;
    let nodes: Vec<Slot> = order.iter().copied().filter(helpful).collect();
    let mut refused = HashMap::new();
    let mut candidates = Vec::new();
    let wanted = enough(nodes.len());
    let start = offset % nodes.len().max(1);
    let budgets = victims::Budgets::new(trial.snapshot);
    for slot in nodes[start..].iter().chain(&nodes[..start]) {
        match victims::select(trial, *slot, &budgets) {
            Ok(candidate) => candidates.push(candidate),
            Err(rejection) => drop(refused.insert(*slot, rejection)),
        }
        let harmless = candidates.iter().any(|candidate: &Candidate| candidate.violations == 0);
        if harmless && candidates.len() >= wanted {
            break;
        }
    }
    choose::best(candidates).ok_or_else(|| {
        Box::new(Diagnosis {
            all_nodes: order.len(),
            rejected: refused,
            absent: Some(Rejection::unresolvable("Preemption is not helpful for scheduling")),
            ..Diagnosis::default()
        })
    })
}

#[cfg(test)]
mod tests;
