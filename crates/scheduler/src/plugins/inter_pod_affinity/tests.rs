use super::*;
use crate::cache::NodeInfo;
use crate::framework::{CycleState, PreFiltered, PreScored};
use crate::plugins::testing::{World, build, pod};

fn plugin() -> InterPodAffinity {
    build("{}", |build| InterPodAffinity::new(build).unwrap())
}

/// Nodes a and b in zone 1, c in zone 2, d without a zone.
fn world() -> World {
    let mut world = World::new();
    for (name, zone) in [("a", "zone: '1'"), ("b", "zone: '1'"), ("c", "zone: '2'"), ("d", "")] {
        world.add_node(&format!("metadata: {{name: {name}, labels: {{host: {name}, {zone}}}}}"));
    }
    world
}

fn running(name: &str, node: &str, app: &str, affinity: &str) -> String {
    format!(
        "metadata: {{name: {name}, namespace: d, uid: {name}, labels: {{app: {app}}}}}
spec: {{nodeName: '{node}', containers: [], affinity: {{{affinity}}}}}"
    )
}

fn term(key: &str, app: &str) -> String {
    format!("{{topologyKey: {key}, labelSelector: {{matchLabels: {{app: {app}}}}}}}")
}

fn required(kind: &str, key: &str, app: &str) -> String {
    format!("{kind}: {{requiredDuringSchedulingIgnoredDuringExecution: [{}]}}", term(key, app))
}

/// Which of the nodes will do, one letter each.
fn fitting(world: &World, incoming: &PodInfo) -> String {
    let (plugin, mut state) = (plugin(), CycleState::default());
    world.with_snapshot(|snapshot| {
        let found = plugin.pre_filter(snapshot, &mut state, incoming).unwrap();
        let fits = |name: &&str| {
            let node: &NodeInfo = world.cache.find_node(name).unwrap();
            found == PreFiltered::Skip || plugin.filter(snapshot, &state, incoming, node).is_ok()
        };
        ["a", "b", "c", "d"].iter().filter(|name| fits(name)).copied().collect()
    })
}

#[test]
fn affinity_follows_a_pod_into_its_domain() {
    let mut world = world();
    let wants = pod(&running("in", "", "x", &required("podAffinity", "zone", "db")));
    assert_eq!(fitting(&world, &wants), "", "nobody to follow");
    world.add_pod(&running("db", "a", "db", ""));
    assert_eq!(fitting(&world, &wants), "ab");
}

#[test]
fn the_first_of_its_kind_may_come() {
    let mut world = world();
    let wants = pod(&running("in", "", "db", &required("podAffinity", "zone", "db")));
    assert_eq!(fitting(&world, &wants), "abc", "d has no zone");
    world.add_pod(&running("db", "c", "db", ""));
    assert_eq!(fitting(&world, &wants), "c");
}

#[test]
fn anti_affinity_holds_both_ways() {
    let mut world = world();
    world.add_pod(&running("db", "a", "db", &required("podAntiAffinity", "zone", "web")));
    let web = pod(&running("in", "", "web", ""));
    assert_eq!(fitting(&world, &web), "cd");
    let shy = pod(&running("in", "", "x", &required("podAntiAffinity", "host", "db")));
    assert_eq!(fitting(&world, &shy), "bcd");
    world.cache.remove_pod("db");
    assert_eq!(fitting(&world, &web), "abcd");
}

#[test]
fn removing_a_pod_from_the_state_opens_its_domain() {
    let mut world = world();
    world.add_pod(&running("db", "a", "db", &required("podAntiAffinity", "zone", "web")));
    let (plugin, mut state) = (plugin(), CycleState::default());
    let web = pod(&running("in", "", "web", &required("podAntiAffinity", "zone", "db")));
    world.with_snapshot(|snapshot| {
        plugin.pre_filter(snapshot, &mut state, &web).unwrap();
        let node = world.cache.find_node("a").unwrap();
        assert!(plugin.filter(snapshot, &state, &web, node).is_err());
        plugin.remove_pod(snapshot, &mut state, &web, world.cache.pod("db").unwrap(), node);
        assert!(plugin.filter(snapshot, &state, &web, node).is_ok());
    });
}

#[test]
fn preferences_of_both_sides_add_up() {
    let mut world = world();
    let likes = |kind: &str, weight: i32, app: &str| {
        let term = term("zone", app);
        format!(
            "{kind}: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: {weight}, podAffinityTerm: {term}}}]}}"
        )
    };
    world.add_pod(&running("db", "a", "db", &likes("podAffinity", 10, "web")));
    world.add_pod(&running("noisy", "c", "noisy", ""));
    let web = pod(&running("in", "", "web", &likes("podAntiAffinity", 5, "noisy")));
    let (plugin, mut state) = (plugin(), CycleState::default());
    world.with_snapshot(|snapshot| {
        assert_eq!(plugin.pre_score(snapshot, &mut state, &web, &[]).unwrap(), PreScored::Look);
        let names = ["a", "b", "c", "d"];
        let score = |name: &&str| plugin.score(snapshot, &state, &web, world.cache.find_node(name).unwrap());
        let mut scores: Vec<i64> = names.iter().map(score).collect();
        assert_eq!(scores, [10, 10, -5, 0]);
        plugin.normalize(&state, &mut scores);
        assert_eq!(scores, [100, 100, 0, 33]);
    });
}
