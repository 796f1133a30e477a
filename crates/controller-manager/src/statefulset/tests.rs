use std::sync::Arc;

use api_types::k8s::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use api_types::k8s::api::core::v1::{PersistentVolumeClaim, Pod, PodCondition, PodStatus, PodTemplateSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;

use super::identity;
use super::plan::{Action, Revision, Snapshot, plan, status};

fn set(replicas: i32, policy: &str) -> StatefulSet {
    let mut set = StatefulSet {
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            pod_management_policy: Some(policy.into()),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    };
    set.metadata.name = Some("db".into());
    set.metadata.uid = Some("u".into());
    set
}

fn revision(name: &str) -> Revision {
    Revision { name: name.into(), template: PodTemplateSpec::default() }
}

fn pod(set: &StatefulSet, ordinal: i32, revision: &str, ready: bool) -> Arc<Pod> {
    let mut pod = identity::pod(set, &PodTemplateSpec::default(), revision, ordinal);
    let condition = PodCondition {
        type_: "Ready".into(),
        status: if ready { "True" } else { "False" }.into(),
        ..PodCondition::default()
    };
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        conditions: Some(vec![condition]),
        ..PodStatus::default()
    });
    Arc::new(pod)
}

fn run(set: &StatefulSet, pods: Vec<Arc<Pod>>, current: &str, update: &str) -> Vec<String> {
    let snapshot =
        Snapshot { set: Arc::new(set.clone()), pods, current: revision(current), update: revision(update) };
    let name = |pod: &Pod| pod.metadata.name.clone().unwrap();
    let text = |action: Action| match action {
        Action::Create(_, pod) => format!("+{} {}", name(&pod), identity::revision(&pod)),
        Action::Restore(pod) => format!("={}", name(&pod)),
        Action::Replace(pod) => format!("!{}", name(&pod)),
        Action::ScaleDown(pod) => format!("-{}", name(&pod)),
        Action::Update(pod) => format!("~{}", name(&pod)),
    };
    plan(&snapshot, Timestamp::UNIX_EPOCH).into_iter().map(text).collect()
}

#[test]
fn pods_come_in_order_and_go_in_reverse() {
    let ordered = set(3, "OrderedReady");
    let pod = |ordinal, ready| pod(&ordered, ordinal, "a", ready);
    assert_eq!(run(&ordered, vec![], "a", "a"), ["+db-0 a"]);
    assert_eq!(run(&ordered, vec![pod(0, false)], "a", "a"), [""; 0]);
    assert_eq!(run(&ordered, vec![pod(0, true)], "a", "a"), ["+db-1 a"]);
    let smaller = set(1, "OrderedReady");
    assert_eq!(run(&smaller, vec![pod(0, true), pod(1, true), pod(2, true)], "a", "a"), ["-db-2"]);
    assert_eq!(run(&smaller, vec![pod(0, true), pod(1, true), pod(2, false)], "a", "a"), ["-db-2"]);
    assert_eq!(run(&smaller, vec![pod(0, false), pod(1, true)], "a", "a"), [""; 0]);
    let parallel = set(2, "Parallel");
    assert_eq!(run(&parallel, vec![pod(2, true)], "a", "a"), ["+db-0 a", "+db-1 a", "-db-2"]);
}

#[test]
fn updates_go_from_the_top_one_at_a_time() {
    let set = set(3, "OrderedReady");
    let pod = |ordinal, revision: &str, ready| pod(&set, ordinal, revision, ready);
    let all = |c: &str, c_ready| vec![pod(0, "a", true), pod(1, "a", true), pod(2, c, c_ready)];
    assert_eq!(run(&set, all("a", true), "a", "b"), ["~db-2"]);
    assert_eq!(run(&set, all("b", false), "a", "b"), [""; 0]);
    assert_eq!(run(&set, all("b", true), "a", "b"), ["~db-1"]);
}

#[test]
fn a_finished_update_becomes_current() {
    let mut set = set(1, "OrderedReady");
    set.status =
        Some(StatefulSetStatus { current_revision: Some("a".into()), ..StatefulSetStatus::default() });
    let snapshot = |pod: Arc<Pod>| Snapshot {
        set: Arc::new(set.clone()),
        pods: vec![pod],
        current: revision("a"),
        update: revision("b"),
    };
    let during = status(&snapshot(pod(&set, 0, "b", false)), Some(0), Timestamp::UNIX_EPOCH);
    assert_eq!((during.current_revision.as_deref(), during.updated_replicas), (Some("a"), Some(1)));
    let after = status(&snapshot(pod(&set, 0, "b", true)), Some(0), Timestamp::UNIX_EPOCH);
    assert_eq!((after.current_revision.as_deref(), after.current_replicas), (Some("b"), Some(1)));
}

#[test]
fn failed_pods_are_replaced_and_lost_labels_come_back() {
    let mut with_claim = set(1, "OrderedReady");
    let mut claim = PersistentVolumeClaim::default();
    claim.metadata.name = Some("data".into());
    with_claim.spec.as_mut().unwrap().volume_claim_templates = Some(vec![claim]);
    let mut failed = Pod::clone(&pod(&with_claim, 0, "a", false));
    failed.status.as_mut().unwrap().phase = Some("Failed".into());
    assert_eq!(run(&with_claim, vec![Arc::new(failed)], "a", "a"), ["!db-0"]);
    let mut stripped = Pod::clone(&pod(&with_claim, 0, "a", true));
    stripped.metadata.labels = None;
    stripped.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(run(&with_claim, vec![Arc::new(stripped)], "a", "a"), ["=db-0"]);
    assert_eq!(identity::claims(&with_claim, 0)[0].metadata.name.as_deref(), Some("data-db-0"));
}
