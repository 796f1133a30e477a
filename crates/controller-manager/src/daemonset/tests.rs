use std::sync::Arc;

use api_types::k8s::api::apps::v1::{
    DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet,
};
use api_types::k8s::api::core::v1::{
    Node, NodeSpec, Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec, Taint,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use api_types::k8s::apimachinery::pkg::util::intstr::IntOrString;
use jiff::Timestamp;

use super::plan::{Plan, Snapshot, plan, status};
use super::template;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn set(surge: i32, unavailable: i32) -> DaemonSet {
    let rolling = RollingUpdateDaemonSet {
        max_surge: Some(IntOrString::Int(surge)),
        max_unavailable: Some(IntOrString::Int(unavailable)),
    };
    let mut set = DaemonSet {
        spec: Some(DaemonSetSpec {
            template: PodTemplateSpec { spec: Some(PodSpec::default()), ..PodTemplateSpec::default() },
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(rolling),
            }),
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    };
    set.metadata.name = Some("agent".into());
    set
}

fn node(name: &str, taint: Option<(&str, &str)>) -> Arc<Node> {
    let taints =
        taint.map(|(key, effect)| vec![Taint { key: key.into(), effect: effect.into(), ..Taint::default() }]);
    let mut node = Node { spec: Some(NodeSpec { taints, ..NodeSpec::default() }), ..Node::default() };
    node.metadata.name = Some(name.into());
    Arc::new(node)
}

fn pod(set: &DaemonSet, name: &str, node: &str, hash: &str, ready: bool) -> Arc<Pod> {
    let mut pod = template::pod(set, hash, node);
    pod.metadata.name = Some(name.into());
    pod.metadata.creation_timestamp = Some(Time(at(0)));
    let condition = PodCondition {
        type_: "Ready".into(),
        status: if ready { "True" } else { "False" }.into(),
        last_transition_time: Some(Time(at(0))),
        ..PodCondition::default()
    };
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        conditions: Some(vec![condition]),
        ..PodStatus::default()
    });
    Arc::new(pod)
}

fn snapshot(set: DaemonSet, nodes: Vec<Arc<Node>>, pods: Vec<Arc<Pod>>) -> Snapshot {
    Snapshot { set: Arc::new(set), pods, nodes, hash: "new".into() }
}

fn deleted(plan: &Plan) -> Vec<&str> {
    plan.delete.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect()
}

#[test]
fn nodes_get_a_pod_when_their_taints_allow() {
    let nodes = vec![
        node("a", None),
        node("b", Some(("dedicated", "NoSchedule"))),
        node("c", Some(("node.kubernetes.io/unschedulable", "NoSchedule"))),
        node("d", Some(("dedicated", "NoExecute"))),
        node("e", Some(("dedicated", "NoSchedule"))),
    ];
    let set = set(0, 1);
    let pods = vec![pod(&set, "on-d", "d", "new", true), pod(&set, "on-e", "e", "new", true)];
    let snapshot = snapshot(set, nodes, pods);
    let plan = plan(&snapshot, at(0));
    assert_eq!(plan.create, ["a", "c"]);
    assert_eq!(deleted(&plan), ["on-d"], "a pod that is there may stay where only scheduling is forbidden");
    let status = status(&snapshot, at(0));
    assert_eq!((status.desired_number_scheduled, status.number_misscheduled), (2, 2));
}

#[test]
fn rolling_updates_keep_within_the_limits() {
    let set = set(0, 1);
    let nodes = vec![node("a", None), node("b", None), node("c", None)];
    let old = |name: &str, node: &str, ready| pod(&set, name, node, "old", ready);
    let all_ready = snapshot(
        set.clone(),
        nodes.clone(),
        vec![old("a", "a", true), old("b", "b", true), old("c", "c", true)],
    );
    assert_eq!(deleted(&plan(&all_ready, at(0))), ["a"]);
    let one_broken = snapshot(
        set.clone(),
        nodes.clone(),
        vec![old("a", "a", true), old("b", "b", false), old("c", "c", true)],
    );
    assert_eq!(
        deleted(&plan(&one_broken, at(0))),
        ["b"],
        "what is broken is replaced first and uses the allowance up"
    );
    let waiting = snapshot(
        set.clone(),
        nodes,
        vec![pod(&set, "a", "a", "new", false), old("b", "b", true), old("c", "c", true)],
    );
    assert_eq!(plan(&waiting, at(0)), Plan::default());
}

#[test]
fn with_surge_the_new_pod_comes_first() {
    let set = set(1, 0);
    let nodes = vec![node("a", None), node("b", None)];
    let old = |name: &str, node: &str| pod(&set, name, node, "old", true);
    let start = snapshot(set.clone(), nodes.clone(), vec![old("a", "a"), old("b", "b")]);
    assert_eq!(plan(&start, at(0)), Plan { create: vec!["a".into()], ..Plan::default() });
    let new = |ready| pod(&set, "a2", "a", "new", ready);
    let coming = snapshot(set.clone(), nodes.clone(), vec![old("a", "a"), new(false), old("b", "b")]);
    assert_eq!(plan(&coming, at(0)), Plan::default());
    let there = snapshot(set.clone(), nodes, vec![old("a", "a"), new(true), old("b", "b")]);
    assert_eq!(deleted(&plan(&there, at(0))), ["a"]);
}
