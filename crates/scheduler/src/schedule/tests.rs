use super::*;
use crate::config::Configuration;
use crate::plugins::testing::{World, pod, pod_requesting};

fn profile() -> Arc<Profile> {
    let configuration = Configuration::default();
    let objects = crate::framework::Objects::detached();
    let features = component::features::Features::default();
    crate::process::profile(&configuration.profiles[0], &configuration, &features, &objects).unwrap()
}

fn node(name: &str, cpu: &str) -> String {
    format!("metadata: {{name: {name}}}\nstatus: {{allocatable: {{cpu: '{cpu}', memory: 8Gi, pods: '110'}}}}")
}

fn decide(world: &World, pod: &PodInfo) -> Result<String, String> {
    let (profile, mut state, mut rotation) = (profile(), CycleState::default(), Rotation::new(7));
    world.with_snapshot(|snapshot| {
        schedule(&profile, snapshot, &mut state, pod, &mut rotation)
            .map(|chosen| world.cache.node(chosen.slot).name.to_string())
            .map_err(|failure| failure.message())
    })
}

#[test]
fn the_freest_node_that_fits_is_chosen() {
    let mut world = World::new();
    assert_eq!(decide(&world, &pod_requesting("")), Err("no nodes available to schedule pods".to_owned()));
    world.add_node(&node("small", "1")).add_node(&node("large", "8")).add_node(&node("middle", "4"));
    assert_eq!(decide(&world, &pod_requesting("cpu: '2'")), Ok("large".to_owned()));
    assert_eq!(
        decide(&world, &pod_requesting("cpu: '9'")),
        Err("0/3 nodes are available: 3 Insufficient cpu.".to_owned())
    );
}

#[test]
fn named_nodes_are_the_only_ones_looked_at() {
    let mut world = World::new();
    world.add_node(&node("a", "1")).add_node(&node("b", "1"));
    let wanting = |name: &str| {
        pod(&format!(
            "metadata: {{name: p, namespace: d, uid: p}}
spec:
  containers: []
  affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{matchFields: [{{key: metadata.name, operator: In, values: [{name}]}}]}}]}}}}}}"
        ))
    };
    assert_eq!(decide(&world, &wanting("b")), Ok("b".to_owned()));
    assert_eq!(
        decide(&world, &wanting("c")),
        Err("0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity].".to_owned())
    );
}

#[test]
fn every_node_gets_its_turn() {
    let mut world = World::new();
    for at in 0..300 {
        world.add_node(&node(&format!("n{at}"), "4"));
    }
    let (profile, mut rotation) = (profile(), Rotation::new(7));
    let mut starts = Vec::new();
    for _ in 0..3 {
        let mut state = CycleState::default();
        let evaluated = world.with_snapshot(|snapshot| {
            schedule(&profile, snapshot, &mut state, &pod_requesting("cpu: '1'"), &mut rotation)
                .unwrap()
                .evaluated
        });
        starts.push((evaluated, rotation.next));
    }
    // 300 nodes: 48 %, which is 144.
    assert_eq!(starts, [(144, 144), (144, 288), (144, 132)]);
}
