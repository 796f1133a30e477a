//! The decision: which node for a pod. Pure; no client, no clock.

use std::sync::Arc;

use crate::cache::{NodeInfo, PodInfo, Slot};
use crate::framework::{
    Code, CycleState, Diagnosis, NoRemedy, PreFiltered, PreScored, Profile, Rejection, Remedy, Snapshot,
};

/// With fewer nodes than this, all are looked at.
const MIN_FEASIBLE: usize = 100;
/// The smallest share of nodes that the adaptive rule looks at, in percent.
const MIN_PERCENTAGE: usize = 5;

/// What carries over from one decision to the next.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Where the next search starts, so that all nodes get their turn.
    next: usize,
    /// State of the generator that breaks ties.
    ties: u64,
}

impl Rotation {
    /// A start that depends on `seed` only.
    pub fn new(seed: u64) -> Self {
        Self { next: 0, ties: seed | 1 }
    }

    /// A number below `bound`, by xorshift.
    pub fn below(&mut self, bound: usize) -> usize {
        self.ties ^= self.ties << 13;
        self.ties ^= self.ties >> 7;
        self.ties ^= self.ties << 17;
        usize::try_from(self.ties % (bound.max(1) as u64)).unwrap_or(0)
    }
}

/// A node was found.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The node.
    pub slot: Slot,
    /// How many nodes were looked at.
    pub evaluated: usize,
    /// How many of them would do.
    pub feasible: usize,
}

/// No node was found.
#[derive(Debug)]
pub enum Failure {
    /// There are no nodes.
    NoNodes,
    /// None fits.
    Unfit(Box<Diagnosis>),
    /// Something broke.
    Broken(Rejection),
}

impl Failure {
    /// The sentence for event and condition.
    pub fn message(&self) -> String {
        match self {
            Self::NoNodes => "no nodes available to schedule pods".to_owned(),
            Self::Unfit(diagnosis) => diagnosis.message(),
            Self::Broken(rejection) => {
                format!("running {:?} plugin: {}", rejection.plugin, rejection.message())
            }
        }
    }
}

/// Finds the best node for `pod`. `state` is fresh and serves the following extension points afterwards.
///
/// # Errors
/// Why there is none.
pub fn schedule(
    profile: &Profile,
    snapshot: &Snapshot<'_>,
    state: &mut CycleState,
    pod: &PodInfo,
    rotation: &mut Rotation,
) -> Result<Chosen, Failure> {
    let order = snapshot.cache.order();
    if order.is_empty() {
        return Err(Failure::NoNodes);
    }
    let mut diagnosis = Box::new(Diagnosis { all_nodes: order.len(), ..Diagnosis::default() });
    let candidates = match pre_filter(profile, snapshot, state, pod, &mut diagnosis) {
        Ok(candidates) => candidates,
        Err(rejection) if rejection.code == Code::Error => return Err(Failure::Broken(rejection)),
        Err(_) => return Err(Failure::Unfit(diagnosis)),
    };
    let mut search = Search { profile, snapshot, state, pod, diagnosis: &mut diagnosis };
    let (feasible, evaluated) = search.run(candidates.as_deref(), rotation).map_err(Failure::Broken)?;
    let slot = match feasible.as_slice() {
        [] => return Err(Failure::Unfit(diagnosis)),
        [only] => *only,
        several => {
            let scores = score(profile, snapshot, state, pod, several).map_err(Failure::Broken)?;
            several[best(&scores, rotation)]
        }
    };
    Ok(Chosen { slot, evaluated, feasible: feasible.len() })
}

/// Looks for a way to make room after [`schedule`] found nothing; notes in `diagnosis` why there is none.
pub fn remedy(
    profile: &Profile,
    snapshot: &Snapshot<'_>,
    state: &CycleState,
    pod: &Arc<PodInfo>,
    diagnosis: &mut Diagnosis,
) -> Option<Remedy> {
    let mut reasons = Vec::new();
    for entry in &profile.post_filter {
        match entry.plugin.post_filter(profile, snapshot, state, pod, diagnosis) {
            Ok(remedy) => return Some(remedy),
            Err(NoRemedy { rejection, .. }) if rejection.code == Code::Error => {
                diagnosis.after_filters = rejection.message();
                return None;
            }
            Err(NoRemedy { rejection, give_up_nomination }) => {
                diagnosis.give_up_nomination |= give_up_nomination;
                diagnosis.blame(entry.name);
                reasons.extend(rejection.reasons);
            }
        }
    }
    diagnosis.after_filters = reasons.join(", ");
    None
}

/// Runs PreFilter; gives the only nodes that can do, if plugins name some.
fn pre_filter(
    profile: &Profile,
    snapshot: &Snapshot<'_>,
    state: &mut CycleState,
    pod: &PodInfo,
    diagnosis: &mut Diagnosis,
) -> Result<Option<Vec<Slot>>, Rejection> {
    let mut only: Option<Vec<Arc<str>>> = None;
    let mut by: Vec<&'static str> = Vec::new();
    let mut refused: Option<Rejection> = None;
    for entry in &profile.pre_filter {
        match entry.plugin.pre_filter(snapshot, state, pod).map_err(|rejection| rejection.by(entry.name)) {
            Ok(PreFiltered::Look) => {}
            Ok(PreFiltered::Skip) => state.skip_filter |= 1 << entry.id,
            Ok(PreFiltered::Only(names)) => {
                by.push(entry.name);
                only = Some(match only.take() {
                    Some(known) => known.into_iter().filter(|name| names.contains(name)).collect(),
                    None => names,
                });
            }
            Err(rejection) => {
                let last = rejection.code != Code::Unschedulable;
                refused = Some(rejection);
                if last {
                    break;
                }
            }
        }
        if only.as_ref().is_some_and(Vec::is_empty) && refused.is_none() {
            by.sort_unstable();
            let plugins = by.join(" ");
            let reason = format!("node(s) didn't satisfy plugin(s) [{plugins}] simultaneously");
            refused = Some(Rejection::unresolvable(reason).by(entry.name));
            by.iter().for_each(|plugin| diagnosis.blame(plugin));
            break;
        }
    }
    if let Some(rejection) = refused {
        diagnosis.before_filters = rejection.message();
        diagnosis.blame(rejection.plugin);
        diagnosis.absent = Some(rejection.clone());
        return Err(rejection);
    }
    let Some(names) = only else { return Ok(None) };
    by.sort_unstable();
    by.iter().for_each(|plugin| diagnosis.blame(plugin));
    let reason = format!("node(s) didn't satisfy plugin(s) [{}]", by.join(" "));
    diagnosis.absent = Some(Rejection::unresolvable(reason));
    let found = names.iter().filter_map(|name| snapshot.cache.find_node(name));
    Ok(Some(found.map(|node| node.slot).collect()))
}

struct Search<'a> {
    profile: &'a Profile,
    snapshot: &'a Snapshot<'a>,
    state: &'a CycleState,
    pod: &'a PodInfo,
    diagnosis: &'a mut Diagnosis,
}

impl Search<'_> {
    /// Nodes that can do, and how many were looked at.
    fn run(
        &mut self,
        only: Option<&[Slot]>,
        rotation: &mut Rotation,
    ) -> Result<(Vec<Slot>, usize), Rejection> {
        // Where room was made for the pod it most likely fits; then no other node has to be looked at.
        let reserved = self.snapshot.nominated.node_of(&self.pod.uid).or_else(|| self.pod.nominated());
        if let Some(node) = reserved.and_then(|name| self.snapshot.cache.find_node(name))
            && only.is_none_or(|only| only.contains(&node.slot))
            && self.fits(node)?
        {
            return Ok((vec![node.slot], 1));
        }
        let (slots, start) = match only {
            Some(only) => (only, 0),
            None => {
                let order = self.snapshot.cache.order();
                (order, rotation.next % order.len())
            }
        };
        let wanted = feasible_nodes_to_find(slots.len(), self.profile);
        let mut feasible = Vec::with_capacity(wanted.min(slots.len()));
        let mut evaluated = 0;
        for slot in slots[start..].iter().chain(&slots[..start]) {
            evaluated += 1;
            if self.fits(self.snapshot.cache.node(*slot))? {
                feasible.push(*slot);
                if feasible.len() >= wanted {
                    break;
                }
            }
        }
        if only.is_none() {
            rotation.next = (start + evaluated) % slots.len();
        }
        Ok((feasible, evaluated))
    }

    fn fits(&mut self, node: &NodeInfo) -> Result<bool, Rejection> {
        match self.profile.run_filters_with_nominated(self.snapshot, self.state, self.pod, node) {
            Ok(()) => Ok(true),
            Err(rejection) if rejection.code == Code::Error => Err(rejection),
            Err(rejection) => {
                self.diagnosis.blame(rejection.plugin);
                self.diagnosis.rejected.insert(node.slot, rejection);
                Ok(false)
            }
        }
    }
}

/// How many nodes that can do are enough, of `nodes`.
fn feasible_nodes_to_find(nodes: usize, profile: &Profile) -> usize {
    if nodes < MIN_FEASIBLE {
        return nodes;
    }
    if profile.score.is_empty() {
        return 1;
    }
    let adaptive = || 50usize.saturating_sub(nodes / 125).max(MIN_PERCENTAGE);
    let configured =
        profile.percentage.and_then(|share| usize::try_from(share).ok()).filter(|share| *share > 0);
    let percentage = configured.unwrap_or_else(adaptive);
    if percentage >= 100 {
        return nodes;
    }
    (nodes * percentage / 100).max(MIN_FEASIBLE)
}

/// The weighted sum of all plugins' scores, by position in `slots`.
fn score(
    profile: &Profile,
    snapshot: &Snapshot<'_>,
    state: &mut CycleState,
    pod: &PodInfo,
    slots: &[Slot],
) -> Result<Vec<i64>, Rejection> {
    let nodes: Vec<&NodeInfo> = slots.iter().map(|slot| snapshot.cache.node(*slot)).collect();
    for entry in &profile.pre_score {
        let found = entry.plugin.pre_score(snapshot, state, pod, &nodes);
        if found.map_err(|rejection| rejection.by(entry.name))? == PreScored::Skip {
            state.skip_score |= 1 << entry.id;
        }
    }
    let mut totals = vec![0; nodes.len()];
    let mut scores = vec![0; nodes.len()];
    for entry in profile.score.iter().filter(|entry| state.skip_score & (1 << entry.id) == 0) {
        for (score, node) in scores.iter_mut().zip(&nodes) {
            *score = entry.plugin.score(snapshot, state, pod, node);
        }
        entry.plugin.normalize(state, &mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += entry.weight * score;
        }
    }
    Ok(totals)
}

/// The position of the largest score; among equals any, with equal chance.
fn best(scores: &[i64], rotation: &mut Rotation) -> usize {
    let (mut at, mut equals) = (0, 0);
    for (position, score) in scores.iter().enumerate() {
        if *score > scores[at] || equals == 0 {
            (at, equals) = (position, 1);
        } else if *score == scores[at] {
            equals += 1;
            if rotation.below(equals) == 0 {
                at = position;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests;
