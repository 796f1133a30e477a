use super::*;
use crate::framework::{CycleState, PreFiltered, PreScored};
use crate::plugins::testing::{World, build, pod};

fn plugin() -> PodTopologySpread {
    build("{}", |build| PodTopologySpread::new(build).unwrap())
}

/// Nodes a and b in zone 1, c in zone 2, d without a zone.
fn world() -> World {
    let mut world = World::new();
    for (name, zone) in [("a", "zone: '1'"), ("b", "zone: '1'"), ("c", "zone: '2'"), ("d", "")] {
        world.add_node(&format!("metadata: {{name: {name}, labels: {{host: {name}, {zone}}}}}"));
    }
    world
}

fn running(name: &str, node: &str, spec: &str) -> String {
    format!(
        "metadata: {{name: {name}, namespace: d, uid: {name}, labels: {{app: x}}}}
spec: {{nodeName: '{node}', containers: [], {spec}}}"
    )
}

fn spread(when: &str, more: &str) -> String {
    format!(
        "topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: {when}, labelSelector: {{matchLabels: {{app: x}}}}, {more}}}]"
    )
}

fn fitting(world: &World, incoming: &PodInfo) -> String {
    let (plugin, mut state) = (plugin(), CycleState::default());
    world.with_snapshot(|snapshot| {
        let found = plugin.pre_filter(snapshot, &mut state, incoming).unwrap();
        let fits = |name: &&str| {
            let node = world.cache.find_node(name).unwrap();
            found == PreFiltered::Skip || plugin.filter(snapshot, &state, incoming, node).is_ok()
        };
        ["a", "b", "c", "d"].iter().filter(|name| fits(name)).copied().collect()
    })
}

#[test]
fn the_skew_is_measured_from_the_emptiest_domain() {
    let mut world = world();
    let incoming = pod(&running("in", "", &spread("DoNotSchedule", "")));
    assert_eq!(fitting(&world, &incoming), "abc");
    world.add_pod(&running("p", "a", ""));
    assert_eq!(fitting(&world, &incoming), "c");
    world.add_pod(&running("q", "c", ""));
    assert_eq!(fitting(&world, &incoming), "abc");
}

#[test]
fn too_few_domains_count_as_empty_ones() {
    let mut world = world();
    let incoming = pod(&running("in", "", &spread("DoNotSchedule", "minDomains: 3")));
    assert_eq!(fitting(&world, &incoming), "abc");
    world.add_pod(&running("p", "a", "")).add_pod(&running("q", "c", ""));
    assert_eq!(fitting(&world, &incoming), "");
}

#[test]
fn nodes_that_the_pod_cannot_use_do_not_count() {
    let mut world = world();
    world.add_pod(&running("p", "a", ""));
    let only = "nodeSelector: {zone: '1'}, ";
    let honor = pod(&running("in", "", &format!("{only}{}", spread("DoNotSchedule", ""))));
    assert_eq!(fitting(&world, &honor), "abc", "zone 2 does not count, NodeAffinity keeps the pod out of it");
    let ignore = spread("DoNotSchedule", "nodeAffinityPolicy: Ignore");
    assert_eq!(fitting(&world, &pod(&running("in", "", &format!("{only}{ignore}")))), "c");
}

#[test]
fn scores_prefer_the_emptier_domain() {
    let mut world = world();
    world.add_pod(&running("p", "a", "")).add_pod(&running("q", "b", "")).add_pod(&running("r", "c", ""));
    let incoming = pod(&running("in", "", &spread("ScheduleAnyway", "")));
    let (plugin, mut state) = (plugin(), CycleState::default());
    world.with_snapshot(|snapshot| {
        let nodes: Vec<_> =
            ["a", "b", "c", "d"].iter().map(|name| world.cache.find_node(name).unwrap()).collect();
        assert_eq!(plugin.pre_score(snapshot, &mut state, &incoming, &nodes).unwrap(), PreScored::Look);
        let mut scores: Vec<i64> =
            nodes.iter().map(|node| plugin.score(snapshot, &state, &incoming, node)).collect();
        plugin.normalize(&state, &mut scores);
        // 2 and 1 pods, each times ln 4.
        assert_eq!(scores, [33, 33, 100, 0]);
    });
}

#[test]
fn pods_of_a_service_spread_by_default() {
    let mut world = World::new();
    for (name, zone) in [("a", "1"), ("b", "2")] {
        world.add_node(&format!(
            "metadata: {{name: {name}, labels: {{kubernetes.io/hostname: {name}, topology.kubernetes.io/zone: '{zone}'}}}}"
        ));
    }
    let service = "metadata: {name: s, namespace: d}\nspec: {selector: {app: x}}";
    let key = client::Key::new("d", "s");
    world.objects.services.apply(key, Some(serde_yaml::from_str(service).unwrap()));
    world.add_pod(&running("p", "a", ""));
    let incoming = pod(&running("in", "", ""));
    assert_eq!(fitting_all(&world, &incoming), [false, true]);
}

/// Which nodes have the best score.
fn fitting_all(world: &World, incoming: &PodInfo) -> Vec<bool> {
    let (plugin, mut state) = (plugin(), CycleState::default());
    world.with_snapshot(|snapshot| {
        let nodes: Vec<_> = world.cache.order().iter().map(|slot| world.cache.node(*slot)).collect();
        plugin.pre_score(snapshot, &mut state, incoming, &nodes).unwrap();
        let mut scores: Vec<i64> =
            nodes.iter().map(|node| plugin.score(snapshot, &state, incoming, node)).collect();
        plugin.normalize(&state, &mut scores);
        scores.iter().map(|score| *score == MAX).collect()
    })
}

const MAX: i64 = crate::framework::MAX_SCORE;
