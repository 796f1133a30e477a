//! From a budget and its pods to the number of disruptions that it allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::int_or_string::IntOrString;
use api_types::k8s::api::core::v1::Pod;
use api_types::k8s::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use jiff::{SignedDuration, Timestamp};

use crate::common::pods;

/// How long an eviction that was granted may take to show as a deletion.
const GRANTED: SignedDuration = SignedDuration::from_mins(2);

/// The scale of a controller of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub uid: String,
    pub replicas: i32,
}

/// A budget, the pods it selects, and the scale of each pod's controller.
pub(super) struct Snapshot {
    pub budget: Arc<PodDisruptionBudget>,
    pub pods: Vec<Arc<Pod>>,
    pub scales: Vec<Option<Scale>>,
}

/// The status, whether pods without a known scale made it uncertain, and when to look again.
pub(super) struct Outcome {
    pub status: PodDisruptionBudgetStatus,
    pub unmanaged: bool,
    pub again_at: Option<Timestamp>,
}

/// Computes the status.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Outcome {
    let (expected, desired, unmanaged) = expectation(snapshot);
    let (granted, again_at) = still_granted(snapshot, now);
    let healthy = snapshot.pods.iter().filter(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        pod.metadata.deletion_timestamp.is_none() && !granted.contains_key(name) && pods::is_ready(pod)
    });
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let old = snapshot.budget.status.clone().unwrap_or_default();
    let generation = snapshot.budget.metadata.generation;
    let status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: (!granted.is_empty()).then_some(granted),
        observed_generation: generation,
        conditions: Some(conditions(old.conditions.unwrap_or_default(), allowed > 0, generation, now)),
    };
    Outcome { status, unmanaged, again_at }
}

/// Pods that should be there, pods that must stay healthy, and whether some pods count for nothing.
fn expectation(snapshot: &Snapshot) -> (i32, i32, bool) {
    let spec = snapshot.budget.spec.clone().unwrap_or_default();
    let count = i32::try_from(snapshot.pods.len()).unwrap_or(i32::MAX);
    if let Some(limit) = spec.max_unavailable.as_ref().map(IntOrString::from) {
        let (expected, unmanaged) = scale(snapshot);
        let out = limit.scaled(i64::from(expected), true).unwrap_or(0);
        return (expected, (expected - i32::try_from(out).unwrap_or(i32::MAX)).max(0), unmanaged);
    }
    match spec.min_available.as_ref().map(IntOrString::from) {
        Some(IntOrString::Int(least)) => (count, least, false),
        Some(percent) => {
            let (expected, unmanaged) = scale(snapshot);
            let least = percent.scaled(i64::from(expected), true).unwrap_or(0);
            (expected, i32::try_from(least).unwrap_or(i32::MAX), unmanaged)
        }
        None => (count, 0, false),
    }
}

/// The sum of the scales of all controllers of the pods.
fn scale(snapshot: &Snapshot) -> (i32, bool) {
    let mut by_uid: BTreeMap<&str, i32> = BTreeMap::new();
    for scale in snapshot.scales.iter().flatten() {
        by_uid.insert(&scale.uid, scale.replicas);
    }
    (by_uid.values().sum(), snapshot.scales.iter().any(Option::is_none))
}

/// Evictions granted lately whose pods are not being deleted yet, and when the first of them lapses.
fn still_granted(snapshot: &Snapshot, now: Timestamp) -> (BTreeMap<String, Time>, Option<Timestamp>) {
    let all =
        snapshot.budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let mut granted = BTreeMap::new();
    let mut again_at: Option<Timestamp> = None;
    for (name, at) in all {
        let pod = snapshot.pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(&name));
        let waiting = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
        let lapses = at.0.checked_add(GRANTED).unwrap_or(Timestamp::MAX);
        if waiting && lapses > now {
            again_at = Some(again_at.map_or(lapses, |known| known.min(lapses)));
            granted.insert(name, at);
        }
    }
    (granted, again_at)
}

fn conditions(
    mut conditions: Vec<Condition>,
    allowed: bool,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let (status, reason) = if allowed { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let fresh = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == fresh.type_) {
        Some(known) if known.status == fresh.status => {
            let since = known.last_transition_time.clone();
            *known = Condition { last_transition_time: since, ..fresh };
        }
        Some(known) => *known = fresh,
        None => conditions.push(fresh),
    }
    conditions
}

/// The warning about pods that nobody scales, with the selector as Go prints it.
pub(super) fn unmanaged_message(budget: &PodDisruptionBudget) -> String {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    let labels: String =
        selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions: String = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|term| {
            let values = term.values.clone().unwrap_or_default().join(" ");
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
                term.key, term.operator
            )
        })
        .collect();
    format!(
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::k8s::api::core::v1::{PodCondition, PodStatus};
    use api_types::k8s::api::policy::v1::PodDisruptionBudgetSpec;
    use api_types::k8s::apimachinery::pkg::util::intstr::IntOrString as Typed;

    fn pod(name: &str, ready: bool) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        let condition = PodCondition {
            type_: "Ready".into(),
            status: if ready { "True" } else { "False" }.into(),
            ..PodCondition::default()
        };
        pod.status = Some(PodStatus { conditions: Some(vec![condition]), ..PodStatus::default() });
        Arc::new(pod)
    }

    fn allowed(
        spec: PodDisruptionBudgetSpec,
        ready: usize,
        unready: usize,
        replicas: Option<i32>,
    ) -> (i32, i32, i32) {
        let pods: Vec<_> = (0..ready + unready).map(|i| pod(&i.to_string(), i < ready)).collect();
        let scale = replicas.map(|replicas| Scale { uid: "u".into(), replicas });
        let budget = PodDisruptionBudget { spec: Some(spec), ..PodDisruptionBudget::default() };
        let snapshot = Snapshot { budget: Arc::new(budget), scales: vec![scale; pods.len()], pods };
        let status = plan(&snapshot, Timestamp::UNIX_EPOCH).status;
        (status.disruptions_allowed.unwrap(), status.desired_healthy.unwrap(), status.expected_pods.unwrap())
    }

    #[test]
    fn budgets_allow_what_stays_above_them() {
        let least = |value| PodDisruptionBudgetSpec { min_available: Some(value), ..Default::default() };
        let most = |value| PodDisruptionBudgetSpec { max_unavailable: Some(value), ..Default::default() };
        assert_eq!(allowed(least(Typed::Int(2)), 3, 0, Some(3)), (1, 2, 3));
        assert_eq!(allowed(least(Typed::Int(2)), 1, 2, Some(3)), (0, 2, 3));
        assert_eq!(allowed(least(Typed::String("50%".into())), 3, 0, Some(3)), (1, 2, 3));
        assert_eq!(allowed(most(Typed::String("30%".into())), 5, 0, Some(5)), (2, 3, 5));
        assert_eq!(allowed(most(Typed::Int(1)), 1, 0, None), (0, 0, 0));
    }
}
