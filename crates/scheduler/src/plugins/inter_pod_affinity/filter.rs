//! Required affinity and anti-affinity, of the incoming pod and of those that run.

use std::sync::Arc;

use super::{InterPodAffinity, Resolved, own_labels};
use crate::cache::{Counts, Domains, Labels, MatchKey, NO_DOMAIN, NodeInfo, PodInfo, Slot};
use crate::framework::{CycleState, Filter, PreFilter, PreFiltered, Rejection, Snapshot, Verdict};

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Pods by domain of one topology key.
#[derive(Clone, Debug)]
struct PerDomain {
    key: Arc<str>,
    domains: Arc<Domains>,
    counts: Vec<i64>,
}

impl PerDomain {
    fn new(snapshot: &Snapshot<'_>, key: &Arc<str>) -> Self {
        let domains = snapshot.cache.domains(key);
        Self { key: Arc::clone(key), counts: vec![0; domains.len()], domains }
    }

    fn add(&mut self, slot: Slot, count: i64) {
        let domain = self.domains.of(slot);
        if domain != NO_DOMAIN {
            self.counts[domain as usize] += count;
        }
    }

    fn add_all(mut self, counts: &Counts) -> Self {
        for (slot, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.add(slot, i64::from(*count));
        }
        self
    }

    /// How many pods are in the node's domain; `None` when the node is in no domain.
    fn at(&self, slot: Slot) -> Option<i64> {
        let domain = self.domains.of(slot);
        (domain != NO_DOMAIN).then(|| self.counts[domain as usize])
    }
}

/// What PreFilter computes.
#[derive(Clone, Debug)]
struct State {
    labels: Labels,
    /// Running pods that do not want the incoming one in their domain.
    existing: Vec<PerDomain>,
    /// Pods that all affinity terms speak of, per term.
    affinity: Vec<PerDomain>,
    /// All affinity terms, of one pod.
    affinity_key: MatchKey,
    /// Pods that each anti-affinity term speaks of.
    anti: Vec<(MatchKey, PerDomain)>,
    /// The incoming pod meets its own affinity terms, so it may be the first of its kind.
    first_may_come: bool,
}

impl PreFilter for InterPodAffinity {
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        let labels = own_labels(snapshot, pod);
        let mut existing: Vec<PerDomain> = Vec::new();
        snapshot.cache.terms().anti.for_each_match(pod, &labels, |term, nodes| {
            let at = existing.iter().position(|known| known.key == term.topology_key).unwrap_or_else(|| {
                existing.push(PerDomain::new(snapshot, &term.topology_key));
                existing.len() - 1
            });
            for (slot, count) in nodes {
                existing[at].add(*slot, i64::from(*count));
            }
        });
        if existing.is_empty() && pod.affinity.is_empty() && pod.anti_affinity.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let resolve = |term| Resolved::new(term, snapshot.objects);
        let affinity: Vec<Resolved> = pod.affinity.iter().map(resolve).collect();
        let affinity_key =
            MatchKey { clauses: affinity.iter().map(|term| term.clause.clone()).collect(), live_only: false };
        let counts = (!affinity.is_empty()).then(|| snapshot.cache.counts(&affinity_key));
        let per_term = |term: &Resolved| {
            let empty = PerDomain::new(snapshot, &term.topology_key);
            match &counts {
                Some(counts) => empty.add_all(counts),
                None => empty,
            }
        };
        let anti = pod.anti_affinity.iter().map(|term| {
            let key = resolve(term).key();
            let counts = snapshot.cache.counts(&key);
            let per_domain = PerDomain::new(snapshot, &term.topology_key).add_all(&counts);
            (key, per_domain)
        });
        let computed = State {
            existing,
            affinity: affinity.iter().map(per_term).collect(),
            first_may_come: affinity_key.matches(pod),
            affinity_key,
            anti: anti.collect(),
            labels,
        };
        state.put(computed);
        Ok(PreFiltered::Look)
    }

    fn add_pod(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        added: &PodInfo,
        node: &NodeInfo,
    ) {
        change(snapshot, state, pod, added, node, 1);
    }

    fn remove_pod(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        node: &NodeInfo,
    ) {
        change(snapshot, state, pod, removed, node, -1);
    }
}

fn change(
    snapshot: &Snapshot<'_>,
    state: &mut CycleState,
    pod: &PodInfo,
    other: &PodInfo,
    node: &NodeInfo,
    by: i64,
) {
    let Some(state) = state.get_mut::<State>() else { return };
    for term in other.anti_affinity.iter().filter(|term| term.matches(pod, &state.labels)) {
        let at =
            state.existing.iter().position(|known| known.key == term.topology_key).unwrap_or_else(|| {
                state.existing.push(PerDomain::new(snapshot, &term.topology_key));
                state.existing.len() - 1
            });
        state.existing[at].add(node.slot, by);
    }
    if !state.affinity.is_empty() && state.affinity_key.matches(other) {
        for term in &mut state.affinity {
            term.add(node.slot, by);
        }
    }
    for (key, term) in &mut state.anti {
        if key.matches(other) {
            term.add(node.slot, by);
        }
    }
}

impl Filter for InterPodAffinity {
    fn filter(&self, _: &Snapshot<'_>, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(state) = state.get::<State>() else { return Ok(()) };
        if !state.affinity.is_empty() {
            let here: Option<Vec<i64>> = state.affinity.iter().map(|term| term.at(node.slot)).collect();
            let Some(here) = here else { return Err(Rejection::unresolvable(AFFINITY)) };
            let beside = here.iter().all(|count| *count > 0);
            let nowhere = || state.affinity.iter().all(|term| term.counts.iter().all(|count| *count <= 0));
            let first = || state.first_may_come && nowhere();
            if !beside && !first() {
                return Err(Rejection::unresolvable(AFFINITY));
            }
        }
        if state.anti.iter().any(|(_, term)| term.at(node.slot).is_some_and(|count| count > 0)) {
            return Err(Rejection::unschedulable(ANTI_AFFINITY));
        }
        if state.existing.iter().any(|term| term.at(node.slot).is_some_and(|count| count > 0)) {
            return Err(Rejection::unschedulable(EXISTING));
        }
        Ok(())
    }
}
