//! Preferred affinity and anti-affinity, and the pull of running pods' required affinity.

use std::sync::Arc;

use super::{InterPodAffinity, Resolved, own_labels};
use crate::cache::{Domains, NO_DOMAIN, NodeInfo, PodInfo, Slot};
use crate::framework::{CycleState, MAX_SCORE, PreScore, PreScored, Rejection, Score, Snapshot};

/// Points by domain, for each topology key.
#[derive(Clone, Debug, Default)]
struct State {
    keys: Vec<(Arc<str>, Arc<Domains>, Vec<i64>)>,
}

impl State {
    fn add(&mut self, snapshot: &Snapshot<'_>, key: &Arc<str>, slot: Slot, points: i64) {
        let at = self.keys.iter().position(|(known, ..)| known == key).unwrap_or_else(|| {
            let domains = snapshot.cache.domains(key);
            let points = vec![0; domains.len()];
            self.keys.push((Arc::clone(key), domains, points));
            self.keys.len() - 1
        });
        let (_, domains, sums) = &mut self.keys[at];
        let domain = domains.of(slot);
        if domain != NO_DOMAIN {
            sums[domain as usize] += points;
        }
    }
}

impl PreScore for InterPodAffinity {
    fn pre_score(
        &self,
        snapshot: &Snapshot<'_>,
        cycle: &mut CycleState,
        pod: &PodInfo,
        _: &[&NodeInfo],
    ) -> Result<PreScored, Rejection> {
        let terms = snapshot.cache.terms();
        let ignore_others = self.args.ignore_preferred_terms_of_existing_pods && pod.preferred.is_empty();
        if pod.preferred.is_empty()
            && (ignore_others || (terms.required.is_empty() && terms.preferred.is_empty()))
        {
            return Ok(PreScored::Skip);
        }
        let mut state = State::default();
        for (weight, term) in &pod.preferred {
            let counts = snapshot.cache.counts(&Resolved::new(term, snapshot.objects).key());
            for (slot, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                state.add(snapshot, &term.topology_key, slot, i64::from(*weight) * i64::from(*count));
            }
        }
        let labels = own_labels(snapshot, pod);
        let hard = i64::from(self.args.hard_pod_affinity_weight);
        if hard > 0 {
            terms.required.for_each_match(pod, &labels, |term, nodes| {
                for (slot, count) in nodes {
                    state.add(snapshot, &term.topology_key, *slot, hard * i64::from(*count));
                }
            });
        }
        if !self.args.ignore_preferred_terms_of_existing_pods {
            terms.preferred.for_each_match(pod, &labels, |(weight, term), nodes| {
                for (slot, count) in nodes {
                    state.add(snapshot, &term.topology_key, *slot, i64::from(*weight) * i64::from(*count));
                }
            });
        }
        if state.keys.is_empty() {
            return Ok(PreScored::Skip);
        }
        cycle.put(state);
        Ok(PreScored::Look)
    }
}

impl Score for InterPodAffinity {
    fn score(&self, _: &Snapshot<'_>, cycle: &CycleState, _: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(state) = cycle.get::<State>() else { return 0 };
        let points = |(_, domains, sums): &(Arc<str>, Arc<Domains>, Vec<i64>)| match domains.of(node.slot) {
            NO_DOMAIN => 0,
            domain => sums[domain as usize],
        };
        state.keys.iter().map(points).sum()
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        let least = scores.iter().copied().min().unwrap_or(0);
        let span = scores.iter().copied().max().unwrap_or(0) - least;
        for score in scores {
            *score = if span > 0 { MAX_SCORE * (*score - least) / span } else { 0 };
        }
    }
}
