use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use api_types::selector::Selector;
use jiff::Timestamp;

use super::kind::Spec;
use super::plan::{Action, Snapshot, next_available, plan, status};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn pod(name: &str, node: &str, phase: &str, ready_since: Option<i64>) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod.metadata.uid = Some(name.into());
    pod.metadata.creation_timestamp = Some(Time(at(-1000)));
    pod.spec = Some(PodSpec { node_name: (!node.is_empty()).then(|| node.into()), ..PodSpec::default() });
    let condition = ready_since.map(|since| PodCondition {
        type_: "Ready".into(),
        status: "True".into(),
        last_transition_time: Some(Time(at(since))),
        ..PodCondition::default()
    });
    pod.status = Some(PodStatus {
        phase: Some(phase.into()),
        conditions: condition.map(|condition| vec![condition]),
        ..PodStatus::default()
    });
    pod
}

fn snapshot(replicas: i32, min_ready: i32, owned: Vec<Pod>) -> Snapshot {
    let owned: Vec<Arc<Pod>> = owned.into_iter().map(Arc::new).collect();
    let spec =
        Spec { replicas, min_ready, selector: Selector::nothing(), template: PodTemplateSpec::default() };
    Snapshot { spec, related: owned.clone(), owned }
}

fn deleted(replicas: i32, owned: Vec<Pod>) -> Vec<String> {
    match plan(&snapshot(replicas, 0, owned), at(0)) {
        Some(Action::Delete(pods)) => pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect(),
        other => panic!("expected deletions, got {other:?}"),
    }
}

#[test]
fn missing_pods_are_created_and_finished_or_leaving_ones_do_not_count() {
    let mut leaving = pod("leaving", "n", "Running", Some(-5));
    leaving.metadata.deletion_timestamp = Some(Time(at(0)));
    let owned = vec![pod("failed", "n", "Failed", None), leaving, pod("ok", "n", "Running", Some(-5))];
    let snapshot = snapshot(3, 0, owned);
    assert_eq!(plan(&snapshot, at(0)), Some(Action::Create(2)));
    let status = status(&snapshot, &[], 4, None, at(0));
    assert_eq!((status.replicas, status.ready, status.terminating, status.observed_generation), (1, 1, 1, 4));
}

#[test]
fn the_least_useful_pods_go_first() {
    let mut cheap = pod("cheap", "n2", "Running", Some(-100));
    cheap.metadata.annotations = Some([(crate::common::pods::DELETION_COST.into(), "-1".into())].into());
    let owned = || {
        vec![
            pod("old", "n1", "Running", Some(-600)),
            pod("young", "n1", "Running", Some(-3)),
            pod("alone", "n3", "Running", Some(-3)),
            cheap.clone(),
            pod("unready", "n4", "Running", None),
            pod("pending", "n5", "Pending", None),
            pod("unbound", "", "Pending", None),
        ]
    };
    assert_eq!(
        deleted(0, owned()),
        ["unbound", "pending", "unready", "cheap", "young", "old", "alone"],
        "crowded nodes lose pods before a pod that stands alone"
    );
    assert_eq!(deleted(5, owned()), ["unbound", "pending"]);
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let snapshot =
        snapshot(2, 10, vec![pod("a", "n", "Running", Some(-4)), pod("b", "n", "Running", Some(-10))]);
    let before = status(&snapshot, &[], 1, None, at(0));
    assert_eq!((before.ready, before.available), (2, 1));
    assert_eq!(next_available(&snapshot, at(0)), Some(at(6)));
    assert_eq!(status(&snapshot, &[], 1, None, at(6)).available, 2);
    assert_eq!(next_available(&snapshot, at(6)), None);
}

#[test]
fn a_failure_is_a_condition_until_it_passes() {
    let snapshot = snapshot(1, 0, vec![]);
    let failed = status(&snapshot, &[], 1, Some(("FailedCreate", "quota".into())), at(0));
    assert_eq!(failed.conditions[0].reason.as_deref(), Some("FailedCreate"));
    let again = status(&snapshot, &failed.conditions, 1, Some(("FailedCreate", "other".into())), at(9));
    assert_eq!(again.conditions, failed.conditions);
    assert!(status(&snapshot, &failed.conditions, 1, None, at(9)).conditions.is_empty());
}
