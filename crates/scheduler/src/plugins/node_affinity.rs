//! NodeAffinity: node selectors and node affinity, required and preferred.

use std::sync::Arc;

use super::Build;
use crate::cache::{NodeInfo, NodeTerm, NodeTerms, PodInfo};
use crate::config::{ArgsError, NodeAffinityArgs};
use crate::framework::{
    CycleState, Event, Filter, Plugin, PreFilter, PreFiltered, PreScore, PreScored, Rejection, Score,
    Snapshot, Verdict, normalize_by_largest,
};

const MISMATCH: &str = "node(s) didn't match Pod's node affinity/selector";
const MISMATCH_ADDED: &str = "node(s) didn't match scheduler-enforced node affinity";

/// The plugin, with the affinity that the configuration adds to every pod's.
pub struct NodeAffinity {
    required: Option<NodeTerms>,
    preferred: Vec<(i32, NodeTerm)>,
}

impl NodeAffinity {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let args: NodeAffinityArgs = build.args.of("NodeAffinity")?;
        let added = args.added_affinity.unwrap_or_default();
        let preferred = added.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        Ok(Self {
            required: added.required_during_scheduling_ignored_during_execution.as_ref().map(NodeTerms::new),
            preferred: preferred.map(|term| (term.weight, NodeTerm::new(&term.preference))).collect(),
        })
    }

    fn fits(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), &'static str> {
        if !self.required.as_ref().is_none_or(|terms| terms.matches(&node.name, node.labels())) {
            return Err(MISMATCH_ADDED);
        }
        if pod.node.matches(&node.name, node.labels()) { Ok(()) } else { Err(MISMATCH) }
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn pre_score(self: Arc<Self>) -> Option<Arc<dyn PreScore>> {
        Some(self)
    }
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => self.fits(pod, node).is_ok(),
            Event::Updated { old, new } => {
                old.spec().node_selector != new.spec().node_selector
                    || old.spec().affinity != new.spec().affinity
            }
            _ => false,
        }
    }
}

impl PreFilter for NodeAffinity {
    fn pre_filter(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        if pod.node.is_empty() && self.required.is_none() {
            return Ok(PreFiltered::Skip);
        }
        match pod.node.affinity().and_then(NodeTerms::names) {
            None => Ok(PreFiltered::Look),
            Some(names) if names.is_empty() => Err(Rejection::unresolvable("pod affinity terms conflict")),
            Some(names) => Ok(PreFiltered::Only(names.into_iter().map(Arc::from).collect())),
        }
    }
}

impl Filter for NodeAffinity {
    fn filter(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        self.fits(pod, node).map_err(Rejection::unresolvable)
    }
}

impl PreScore for NodeAffinity {
    fn pre_score(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        pod: &PodInfo,
        _: &[&NodeInfo],
    ) -> Result<PreScored, Rejection> {
        let nothing = pod.preferred_nodes.is_empty() && self.preferred.is_empty();
        Ok(if nothing { PreScored::Skip } else { PreScored::Look })
    }
}

impl Score for NodeAffinity {
    fn score(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let terms = self.preferred.iter().chain(&pod.preferred_nodes);
        let liked = terms.filter(|(_, term)| term.matches(&node.name, node.labels()));
        liked.map(|(weight, _)| i64::from(*weight)).sum()
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        normalize_by_largest(scores, false);
    }
}
