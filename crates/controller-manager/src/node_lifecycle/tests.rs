use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus, Taint};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use jiff::Timestamp;

use super::plan::{Grace, Pulse, taints, unknown_conditions, wants_eviction};
use super::zones::{Limiter, Policy, State, rate, states};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn node(name: &str, ready: &str) -> Node {
    let condition = NodeCondition {
        type_: "Ready".into(),
        status: ready.into(),
        last_heartbeat_time: Some(Time(at(0))),
        ..NodeCondition::default()
    };
    let mut node = Node {
        spec: Some(NodeSpec::default()),
        status: Some(NodeStatus { conditions: Some(vec![condition]), ..NodeStatus::default() }),
        ..Node::default()
    };
    node.metadata.name = Some(name.into());
    node
}

fn keys(taints: &[Taint]) -> Vec<String> {
    taints
        .iter()
        .map(|taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect))
        .collect()
}

#[test]
fn silence_is_measured_on_our_clock_and_ends_with_a_renewed_lease() {
    let grace = Grace { running: Duration::from_secs(40), startup: Duration::from_secs(60) };
    let node = node("a", "True");
    let first = Pulse::observe(None, &node, None, at(100));
    assert_eq!(first.expires(&node, grace), at(140));
    let same = Pulse::observe(Some(&first), &node, None, at(120));
    assert_eq!(same.expires(&node, grace), at(140));
    let renewed = Pulse::observe(Some(&same), &node, Some(MicroTime(at(125))), at(130));
    assert_eq!(renewed.expires(&node, grace), at(170));
    let fresh = Node::default();
    assert_eq!(Pulse::observe(None, &fresh, None, at(0)).expires(&fresh, grace), at(60));
}

#[test]
fn a_silent_node_is_unknown_once() {
    let mut silent = node("a", "True");
    let conditions = unknown_conditions(&silent, at(5)).unwrap();
    let reason = |kind: &str| conditions.iter().find(|c| c.type_ == kind).unwrap().reason.clone().unwrap();
    assert_eq!(reason("Ready"), "NodeStatusUnknown");
    assert_eq!(reason("PIDPressure"), "NodeStatusNeverUpdated");
    silent.status.as_mut().unwrap().conditions = Some(conditions);
    assert!(unknown_conditions(&silent, at(6)).is_none());
}

#[test]
fn taints_follow_conditions_and_leave_others_alone() {
    let mut node = node("a", "False");
    node.spec.as_mut().unwrap().unschedulable = Some(true);
    node.spec.as_mut().unwrap().taints =
        Some(vec![Taint { key: "mine".into(), effect: "NoExecute".into(), ..Taint::default() }]);
    assert!(wants_eviction(&node));
    let held = taints(&node, false, at(0));
    assert_eq!(keys(&held), ["mine:NoExecute", "not-ready:NoSchedule", "unschedulable:NoSchedule"]);
    let all = taints(&node, true, at(0));
    assert_eq!(
        keys(&all),
        ["mine:NoExecute", "not-ready:NoExecute", "not-ready:NoSchedule", "unschedulable:NoSchedule"]
    );
    node.spec.as_mut().unwrap().taints = Some(all);
    node.spec.as_mut().unwrap().unschedulable = None;
    node.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "True".into();
    assert_eq!(keys(&taints(&node, true, at(0))), ["mine:NoExecute"]);
}

#[test]
fn eviction_slows_down_when_much_is_silent() {
    let nodes = |ready: usize, silent: usize| -> Vec<Arc<Node>> {
        let ready = (0..ready).map(|_| node("r", "True"));
        ready.chain((0..silent).map(|_| node("s", "Unknown"))).map(Arc::new).collect()
    };
    let one = |ready, silent| {
        let policy = Policy { rate: 0.1, slow_rate: 0.01, large: 50, threshold: 0.55 };
        let states = states(&nodes(ready, silent), policy);
        (states[":"].0, rate(&states, ":", policy))
    };
    assert_eq!(one(3, 1), (State::Normal, 0.1));
    assert_eq!(one(2, 3), (State::Partial, 0.0));
    assert_eq!(one(30, 60), (State::Partial, 0.01));
    assert_eq!(one(0, 3), (State::Full, 0.0));
    let mut limiter = Limiter::default();
    let now = tokio::time::Instant::now();
    assert!(limiter.take("z", 0.1, now).is_ok());
    assert_eq!(limiter.take("z", 0.1, now), Err(Duration::from_secs(10)));
}
