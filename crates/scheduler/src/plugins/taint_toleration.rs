//! TaintToleration: taints keep pods away that do not tolerate them; PreferNoSchedule counts in the score.

use std::sync::Arc;

use super::tolerations::{repels, tolerates, untolerated};
use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{
    CycleState, Event, Filter, Plugin, PreScore, PreScored, Rejection, Score, Snapshot, Verdict,
    normalize_by_largest,
};

/// The plugin.
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
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
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => {
                untolerated(node.taints(), pod.spec().tolerations.as_ref(), repels).is_none()
            }
            Event::Updated { old, new } => old.spec().tolerations != new.spec().tolerations,
            _ => false,
        }
    }
}

impl Filter for TaintToleration {
    fn filter(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match untolerated(node.taints(), pod.spec().tolerations.as_ref(), repels) {
            None => Ok(()),
            Some(_) => Err(Rejection::unresolvable("node(s) had untolerated taint(s)")),
        }
    }
}

impl PreScore for TaintToleration {
    fn pre_score(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        _: &PodInfo,
        nodes: &[&NodeInfo],
    ) -> Result<PreScored, Rejection> {
        // Without such taints all nodes score the same.
        let discouraged =
            nodes.iter().any(|node| node.taints().iter().any(|taint| taint.effect == "PreferNoSchedule"));
        Ok(if discouraged { PreScored::Look } else { PreScored::Skip })
    }
}

impl Score for TaintToleration {
    fn score(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let tolerations = pod.spec().tolerations.iter().flatten();
        let tolerations = tolerations.filter(|toleration| {
            matches!(toleration.effect.as_deref(), None | Some("" | "PreferNoSchedule"))
        });
        let intolerable = node.taints().iter().filter(|taint| {
            taint.effect == "PreferNoSchedule"
                && !tolerations.clone().any(|toleration| tolerates(toleration, taint))
        });
        i64::try_from(intolerable.count()).unwrap_or(i64::MAX)
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        normalize_by_largest(scores, true);
    }
}
