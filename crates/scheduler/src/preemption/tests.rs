use super::*;
use crate::plugins::testing::{World, pod};

fn running(name: &str, node: &str, priority: i32, cpu: &str, labels: &str) -> String {
    format!(
        "metadata: {{name: {name}, namespace: d, uid: {name}, labels: {{{labels}}}}}
spec: {{nodeName: {node}, priority: {priority}, containers: [{{name: c, resources: {{requests: {{cpu: '{cpu}'}}}}}}]}}"
    )
}

fn node(name: &str) -> String {
    format!("metadata: {{name: {name}}}\nstatus: {{allocatable: {{cpu: '4', memory: 8Gi, pods: '110'}}}}")
}

/// Node and victims that make room for a pod of priority 100 with this request, or the sentence that says why not.
fn preempt(world: &World, cpu: &str) -> Result<(String, Vec<String>), String> {
    let configuration = crate::config::Configuration::default();
    let features = component::features::Features::default();
    let profile =
        crate::process::profile(&configuration.profiles[0], &configuration, &features, &world.objects)
            .unwrap();
    let incoming = pod(&running("in", "''", 100, cpu, ""));
    world.with_snapshot(|snapshot| {
        let mut state = CycleState::default();
        let mut rotation = crate::schedule::Rotation::new(1);
        let failure =
            crate::schedule::schedule(&profile, snapshot, &mut state, &incoming, &mut rotation).unwrap_err();
        let crate::schedule::Failure::Unfit(diagnosis) = failure else { panic!("expected no fit") };
        let trial = Trial { profile: &profile, snapshot, state: &state, pod: &incoming };
        find(&trial, &diagnosis, |nodes| nodes, 0)
            .map(|found| {
                let victims = found.victims.iter().map(|victim| victim.key.name.to_string()).collect();
                (found.node.to_string(), victims)
            })
            .map_err(|diagnosis| diagnosis.message())
    })
}

fn chosen(node: &str, victims: &[&str]) -> Result<(String, Vec<String>), String> {
    Ok((node.to_owned(), victims.iter().map(|name| (*name).to_owned()).collect()))
}

#[test]
fn only_what_is_needed_goes_and_the_least_important() {
    let mut world = World::new();
    world.add_node(&node("a"));
    for (name, priority) in [("low", 1), ("lower", 0), ("high", 200), ("middle", 50)] {
        world.add_pod(&running(name, "a", priority, "1", ""));
    }
    assert_eq!(preempt(&world, "1"), chosen("a", &["lower"]));
    assert_eq!(preempt(&world, "2"), chosen("a", &["low", "lower"]));
    assert_eq!(preempt(&world, "4"), Err("0/1 nodes are available: 1 Insufficient cpu.".to_owned()));
    assert_eq!(
        preempt(&world, "5"),
        Err("0/1 nodes are available: 1 Preemption is not helpful for scheduling.".to_owned())
    );
}

#[test]
fn nodes_are_compared_by_budget_then_priority_then_number() {
    let mut world = World::new();
    world.add_node(&node("a")).add_node(&node("b")).add_node(&node("c"));
    world.add_pod(&running("a1", "a", 10, "4", "app: kept"));
    world.add_pod(&running("b1", "b", 30, "4", ""));
    world.add_pod(&running("c1", "c", 20, "2", "")).add_pod(&running("c2", "c", 20, "2", ""));
    assert_eq!(preempt(&world, "4"), chosen("a", &["a1"]));
    let budget = "metadata: {name: b, namespace: d}
spec: {selector: {matchLabels: {app: kept}}}
status: {disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1}";
    let key = client::Key::new("d", "b");
    world.objects.budgets.apply(key, Some(serde_yaml::from_str(budget).unwrap()));
    assert_eq!(preempt(&world, "4"), chosen("c", &["c1", "c2"]));
}

#[test]
fn equals_are_not_preempted() {
    let mut world = World::new();
    world.add_node(&node("a")).add_pod(&running("p", "a", 100, "4", ""));
    assert_eq!(
        preempt(&world, "1"),
        Err("0/1 nodes are available: 1 No preemption victims found for incoming pod.".to_owned())
    );
}
