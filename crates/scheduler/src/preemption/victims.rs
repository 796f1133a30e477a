//! Which pods of one node have to go.

use std::sync::Arc;

use api_types::k8s::api::policy::v1::PodDisruptionBudget;
use api_types::selector::Selector;

use super::Trial;
use super::choose::{Candidate, by_importance};
use crate::cache::{NodeInfo, PodInfo, Slot};
use crate::framework::{CycleState, Rejection, Snapshot};

/// The fewest and least important pods whose removal from the node at `slot` makes the pod fit.
///
/// # Errors
/// Why none do.
pub fn select(trial: &Trial<'_>, slot: Slot, budgets: &Budgets) -> Result<Candidate, Rejection> {
    let present = trial.snapshot.cache.node(slot);
    let lower = |pod: &&Arc<PodInfo>| pod.priority < trial.pod.priority;
    let mut lower: Vec<Arc<PodInfo>> = present.pods.iter().filter(lower).cloned().collect();
    if lower.is_empty() {
        return Err(Rejection::unresolvable("No preemption victims found for incoming pod"));
    }
    let mut attempt = Attempt { trial, node: present.clone(), state: trial.state.clone() };
    for pod in &lower {
        attempt.remove(pod);
    }
    attempt.fits()?;
    by_importance(&mut lower);
    let (protected, free) = budgets.split(&lower);
    let mut victims = Vec::new();
    // Those that a budget protects are spared first.
    for pod in protected {
        attempt.spare(pod, &mut victims);
    }
    let violations = victims.len();
    for pod in free {
        attempt.spare(pod, &mut victims);
    }
    by_importance(&mut victims);
    Ok(Candidate { node: Arc::clone(&present.name), victims, violations })
}

/// The node as it would be.
struct Attempt<'a> {
    trial: &'a Trial<'a>,
    node: NodeInfo,
    state: CycleState,
}

impl Attempt<'_> {
    fn remove(&mut self, pod: &Arc<PodInfo>) {
        let Trial { profile, snapshot, pod: incoming, .. } = self.trial;
        self.node.remove_pod(&pod.uid);
        profile.remove_pod(snapshot, &mut self.state, incoming, pod, &self.node);
    }

    fn add(&mut self, pod: &Arc<PodInfo>) {
        let Trial { profile, snapshot, pod: incoming, .. } = self.trial;
        self.node.add_pod(Arc::clone(pod));
        profile.add_pod(snapshot, &mut self.state, incoming, pod, &self.node);
    }

    fn fits(&self) -> Result<(), Rejection> {
        let Trial { profile, snapshot, pod, .. } = self.trial;
        profile.run_filters_with_nominated(snapshot, &self.state, pod, &self.node)
    }

    /// Puts a pod back; when nothing fits then, it is a victim.
    fn spare(&mut self, pod: Arc<PodInfo>, victims: &mut Vec<Arc<PodInfo>>) {
        self.add(&pod);
        if self.fits().is_err() {
            self.remove(&pod);
            victims.push(pod);
        }
    }
}

/// The disruption budgets, parsed.
pub struct Budgets(Vec<(Arc<PodDisruptionBudget>, Selector)>);

impl Budgets {
    /// The budgets of the cluster.
    pub fn new(snapshot: &Snapshot<'_>) -> Self {
        let parse = |budget: Arc<PodDisruptionBudget>| {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            // Neither an absent nor an empty selector protects here.
            let selector =
                Selector::from_label_selector(selector).ok().filter(|parsed| !parsed.is_everything())?;
            Some((budget, selector))
        };
        Self(snapshot.objects.budgets.store().list().into_iter().filter_map(parse).collect())
    }

    /// Splits pods into those whose removal a budget forbids, and the others.
    fn split(&self, pods: &[Arc<PodInfo>]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
        let allowed = |budget: &PodDisruptionBudget| {
            budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0)
        };
        let mut left: Vec<i32> = self.0.iter().map(|(budget, _)| allowed(budget)).collect();
        let (mut protected, mut free) = (Vec::new(), Vec::new());
        for pod in pods {
            let mut violates = false;
            for ((budget, selector), left) in self.0.iter().zip(&mut left) {
                if !covers(budget, selector, pod) {
                    continue;
                }
                *left -= 1;
                violates |= *left < 0;
            }
            if violates { protected.push(Arc::clone(pod)) } else { free.push(Arc::clone(pod)) }
        }
        (protected, free)
    }
}

/// Whether removing `pod` counts against `budget`. Pods that are on their way out by an eviction are counted already.
fn covers(budget: &PodDisruptionBudget, selector: &Selector, pod: &PodInfo) -> bool {
    let disrupted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    budget.metadata.namespace.as_deref() == Some(&*pod.namespace)
        && !pod.labels().is_empty()
        && selector.matches(pod.labels())
        && !disrupted.is_some_and(|pods| pods.contains_key(&*pod.key.name))
}
