//! Constraints that must hold.

use std::sync::Arc;

use super::PodTopologySpread;
use super::constraint::Constraint;
use crate::cache::{Domains, NO_DOMAIN, NodeInfo, PodInfo};
use crate::framework::{CycleState, Filter, PreFilter, PreFiltered, Rejection, Snapshot, Verdict};

const SKEWED: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

/// A constraint with the present numbers.
#[derive(Clone, Debug)]
struct Spread {
    constraint: Constraint,
    domains: Arc<Domains>,
    /// Pods by domain; `None` for domains without a node that counts.
    counts: Vec<Option<i64>>,
    /// The count that the skew is measured from.
    least: i64,
    /// 1 when the incoming pod will be counted.
    own: i64,
}

impl Spread {
    fn measure(&mut self) {
        let present = || self.counts.iter().flatten();
        let enough = present().count() >= self.constraint.min_domains;
        self.least = if enough { present().copied().min().unwrap_or(0) } else { 0 };
    }
}

/// What PreFilter computes.
#[derive(Clone, Debug)]
struct State(Vec<Spread>);

impl State {
    /// Whether a node is in a domain of every constraint.
    fn covers(&self, node: &NodeInfo) -> bool {
        self.0.iter().all(|spread| spread.domains.of(node.slot) != NO_DOMAIN)
    }
}

impl PreFilter for PodTopologySpread {
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        let constraints = self.constraints(snapshot.objects, pod, true);
        if constraints.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let cache = snapshot.cache;
        let empty = |constraint: Constraint| {
            let domains = cache.domains(&constraint.topology_key);
            let own = i64::from(constraint.selects(pod));
            Spread { counts: vec![None; domains.len()], domains, constraint, least: 0, own }
        };
        let mut computed = State(constraints.into_iter().map(empty).collect());
        let counts: Vec<_> = computed.0.iter().map(|spread| cache.counts(&spread.constraint.key)).collect();
        for slot in cache.order() {
            let node = cache.node(*slot);
            if !computed.covers(node) {
                continue;
            }
            for (spread, counts) in computed.0.iter_mut().zip(&counts) {
                if spread.constraint.includes(pod, node) {
                    let count = &mut spread.counts[spread.domains.of(*slot) as usize];
                    *count = Some(count.unwrap_or(0) + i64::from(counts.get(*slot).copied().unwrap_or(0)));
                }
            }
        }
        computed.0.iter_mut().for_each(Spread::measure);
        state.put(computed);
        Ok(PreFiltered::Look)
    }

    fn add_pod(
        &self,
        _: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        added: &PodInfo,
        node: &NodeInfo,
    ) {
        change(state, pod, added, node, 1);
    }

    fn remove_pod(
        &self,
        _: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        node: &NodeInfo,
    ) {
        change(state, pod, removed, node, -1);
    }
}

fn change(state: &mut CycleState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, by: i64) {
    let Some(state) = state.get_mut::<State>() else { return };
    if !state.covers(node) {
        return;
    }
    for spread in &mut state.0 {
        if spread.constraint.key.matches(other) && spread.constraint.includes(pod, node) {
            let count = &mut spread.counts[spread.domains.of(node.slot) as usize];
            *count = Some(count.unwrap_or(0) + by);
            spread.measure();
        }
    }
}

impl Filter for PodTopologySpread {
    fn filter(&self, _: &Snapshot<'_>, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(State(spreads)) = state.get::<State>() else { return Ok(()) };
        for spread in spreads {
            let domain = spread.domains.of(node.slot);
            if domain == NO_DOMAIN {
                return Err(Rejection::unresolvable(NO_LABEL));
            }
            let here = spread.counts[domain as usize].unwrap_or(0);
            if here + spread.own - spread.least > spread.constraint.max_skew {
                return Err(Rejection::unschedulable(SKEWED));
            }
        }
        Ok(())
    }
}
