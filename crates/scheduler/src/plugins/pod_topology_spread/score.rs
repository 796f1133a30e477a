//! Constraints that should hold: domains with fewer pods score higher.

use std::sync::Arc;

use super::constraint::Constraint;
use super::{HOSTNAME, PodTopologySpread};
use crate::cache::{Counts, Domains, NO_DOMAIN, NodeInfo, PodInfo, Slot};
use crate::framework::{CycleState, MAX_SCORE, PreScore, PreScored, Rejection, Score, Snapshot};

/// The score of a node that is in no domain; it becomes 0.
const IGNORED: i64 = -1;

#[derive(Clone, Debug)]
struct Spread {
    constraint: Constraint,
    domains: Arc<Domains>,
    per_node: Counts,
    /// Pods by domain, of domains with a node that can do. Nodes that are their own domain need none.
    counts: Vec<Option<i64>>,
    /// Constraints with many domains have smaller counts and weigh more.
    weight: f64,
}

impl Spread {
    fn own_domain(&self) -> bool {
        &*self.constraint.topology_key == HOSTNAME
    }

    fn on_node(&self, slot: Slot) -> i64 {
        i64::from(self.per_node.get(slot).copied().unwrap_or(0))
    }
}

#[derive(Clone, Debug)]
struct State {
    spreads: Vec<Spread>,
    all_needed: bool,
}

impl State {
    fn ignores(&self, slot: Slot) -> bool {
        self.all_needed && self.spreads.iter().any(|spread| spread.domains.of(slot) == NO_DOMAIN)
    }
}

impl PreScore for PodTopologySpread {
    fn pre_score(
        &self,
        snapshot: &Snapshot<'_>,
        cycle: &mut CycleState,
        pod: &PodInfo,
        nodes: &[&NodeInfo],
    ) -> Result<PreScored, Rejection> {
        let constraints = self.constraints(snapshot.objects, pod, false);
        if constraints.is_empty() {
            return Ok(PreScored::Skip);
        }
        let cache = snapshot.cache;
        let empty = |constraint: Constraint| {
            let domains = cache.domains(&constraint.topology_key);
            let per_node = cache.counts(&constraint.key);
            Spread { counts: vec![None; domains.len()], domains, per_node, constraint, weight: 0.0 }
        };
        let own = pod.spec().topology_spread_constraints.as_ref().is_some_and(|own| !own.is_empty());
        let mut state = State {
            spreads: constraints.into_iter().map(empty).collect(),
            all_needed: own || !self.system_defaults,
        };
        let scored: Vec<Slot> =
            nodes.iter().map(|node| node.slot).filter(|slot| !state.ignores(*slot)).collect();
        for spread in &mut state.spreads {
            let mut size = scored.len();
            if !spread.own_domain() {
                for slot in &scored {
                    let domain = spread.domains.of(*slot);
                    if domain != NO_DOMAIN {
                        spread.counts[domain as usize] = Some(0);
                    }
                }
                let unlabelled = scored.iter().any(|slot| spread.domains.of(*slot) == NO_DOMAIN);
                size = spread.counts.iter().flatten().count() + usize::from(unlabelled);
            }
            spread.weight = (size as f64 + 2.0).ln();
        }
        for slot in cache.order().iter().filter(|slot| !state.ignores(**slot)).copied().collect::<Vec<_>>() {
            for spread in state.spreads.iter_mut().filter(|spread| !spread.own_domain()) {
                let domain = spread.domains.of(slot);
                if domain == NO_DOMAIN || spread.on_node(slot) == 0 {
                    continue;
                }
                if spread.counts[domain as usize].is_some()
                    && spread.constraint.includes(pod, cache.node(slot))
                {
                    let count = spread.on_node(slot);
                    spread.counts[domain as usize] = spread.counts[domain as usize].map(|sum| sum + count);
                }
            }
        }
        cycle.put(state);
        Ok(PreScored::Look)
    }
}

impl Score for PodTopologySpread {
    fn score(&self, _: &Snapshot<'_>, cycle: &CycleState, _: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(state) = cycle.get::<State>() else { return 0 };
        if state.ignores(node.slot) {
            return IGNORED;
        }
        let points = |spread: &Spread| {
            let domain = spread.domains.of(node.slot);
            if domain == NO_DOMAIN {
                return 0.0;
            }
            let count = if spread.own_domain() {
                spread.on_node(node.slot)
            } else {
                spread.counts[domain as usize].unwrap_or(0)
            };
            count as f64 * spread.weight + (spread.constraint.max_skew - 1) as f64
        };
        state.spreads.iter().map(points).sum::<f64>().round() as i64
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        let valid = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (least, largest) = (valid().min().unwrap_or(0), valid().max().unwrap_or(0));
        for score in scores {
            *score = match *score {
                IGNORED => 0,
                _ if largest == 0 => MAX_SCORE,
                score => MAX_SCORE * (largest + least - score) / largest,
            };
        }
    }
}
