//! DefaultPreemption: makes room for a pod by removing pods of lower priority.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Build;
use crate::cache::PodInfo;
use crate::config::{ArgsError, DefaultPreemptionArgs};
use crate::framework::{
    Code, CycleState, Diagnosis, NoRemedy, Plugin, PostFilter, Profile, Rejection, Remedy, Snapshot,
};
use crate::preemption::{self, Trial};

/// The plugin.
pub struct DefaultPreemption {
    args: DefaultPreemptionArgs,
    /// Where the next search starts, so that all nodes bear their share.
    offset: AtomicUsize,
}

impl DefaultPreemption {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read or make no sense.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let args: DefaultPreemptionArgs = build.args.of("DefaultPreemption")?;
        if args.min_candidate_nodes_percentage > 100
            || (args.min_candidate_nodes_percentage == 0 && args.min_candidate_nodes_absolute == 0)
        {
            return Err(ArgsError::Value {
                plugin: "DefaultPreemption".to_owned(),
                problem: "minCandidateNodesPercentage must be at most 100, and not 0 together with minCandidateNodesAbsolute".to_owned(),
            });
        }
        Ok(Self { args, offset: AtomicUsize::new(0) })
    }

    fn enough(&self, nodes: usize) -> usize {
        let share = nodes * self.args.min_candidate_nodes_percentage / 100;
        share.max(self.args.min_candidate_nodes_absolute).min(nodes)
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }
    fn post_filter(self: Arc<Self>) -> Option<Arc<dyn PostFilter>> {
        Some(self)
    }
}

impl PostFilter for DefaultPreemption {
    fn post_filter(
        &self,
        profile: &Profile,
        snapshot: &Snapshot<'_>,
        state: &CycleState,
        pod: &Arc<PodInfo>,
        diagnosis: &Diagnosis,
    ) -> Result<Remedy, NoRemedy> {
        if let Some(why) = ineligible(snapshot, pod, diagnosis) {
            return Err(Rejection::unschedulable(format!("preemption: {why}")).into());
        }
        let trial = Trial { profile, snapshot, state, pod };
        let offset = self.offset.fetch_add(1, Ordering::Relaxed);
        match preemption::find(&trial, diagnosis, |nodes| self.enough(nodes), offset) {
            Ok(candidate) => {
                Ok(Remedy { node: Some(candidate.node), victims: candidate.victims, ..Remedy::default() })
            }
            Err(refused) => Err(NoRemedy {
                rejection: Rejection::unschedulable(format!("preemption: {}", refused.message())),
                give_up_nomination: true,
            }),
        }
    }
}

/// Why a pod may not displace others.
fn ineligible(snapshot: &Snapshot<'_>, pod: &PodInfo, diagnosis: &Diagnosis) -> Option<&'static str> {
    if pod.spec().preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = snapshot.nominated.node_of(&pod.uid).or_else(|| pod.nominated())?;
    let node = snapshot.cache.find_node(nominated)?;
    // Room made on a node that cannot hold the pod any more is not worth waiting for.
    if diagnosis.code(node.slot) == Code::Unresolvable {
        return None;
    }
    let leaving =
        |other: &&Arc<PodInfo>| other.priority < pod.priority && other.terminating() && preempted(other);
    node.pods.iter().find(leaving).map(|_| "not eligible due to a terminating pod on the nominated node.")
}

/// Whether a scheduler has asked the pod to leave.
fn preempted(pod: &PodInfo) -> bool {
    let conditions = pod.status().into_iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| {
        condition.type_ == "DisruptionTarget"
            && condition.status == "True"
            && condition.reason.as_deref() == Some("PreemptionByScheduler")
    })
}
