use super::*;
use crate::plugins::testing::{World, build, pod};

/// Nodes a (one device, model x) and b (two, models x and y) of driver `d`; class `c` is of that driver.
fn world() -> World {
    let mut world = World::new();
    for (node, devices) in [("a", vec!["x"]), ("b", vec!["x", "y"])] {
        world.add_node(&format!("metadata: {{name: {node}}}"));
        let devices: Vec<String> = devices
            .iter()
            .enumerate()
            .map(|(at, model)| {
                format!("{{name: d{at}, attributes: {{model: {{string: {model}}}}}, capacity: {{memory: {{value: {at}Gi}}}}}}")
            })
            .collect();
        let slice = format!(
            "metadata: {{name: {node}}}
spec: {{driver: d, nodeName: {node}, pool: {{name: {node}, generation: 1, resourceSliceCount: 1}}, devices: [{}]}}",
            devices.join(", ")
        );
        world.objects.slices.apply(Key::cluster(node), Some(serde_yaml::from_str(&slice).unwrap()));
    }
    let class = "metadata: {name: c}\nspec: {selectors: [{cel: {expression: device.driver == 'd'}}]}";
    world.objects.device_classes.apply(Key::cluster("c"), Some(serde_yaml::from_str(class).unwrap()));
    world
}

fn exactly(more: &str) -> String {
    format!("requests: [{{name: r, exactly: {{deviceClassName: c, {more}}}}}]")
}

fn cel(expression: &str) -> String {
    exactly(&format!("selectors: [{{cel: {{expression: \"{expression}\"}}}}]"))
}

/// Devices that a claim would get on nodes a and b, `-` for none; or why not.
fn devices(world: &World, claim: &str) -> Vec<String> {
    let text = format!("metadata: {{name: c, namespace: d, uid: u}}\nspec: {{devices: {{{claim}}}}}");
    let text = text.replace("{name: c,", "{name: claim,");
    world.objects.resource_claims.apply(Key::new("d", "claim"), Some(serde_yaml::from_str(&text).unwrap()));
    let incoming = pod("metadata: {name: p, namespace: d, uid: p}
spec: {containers: [], resourceClaims: [{name: rc, resourceClaimName: claim}]}");
    let (plugin, mut cycle) =
        (build("{}", |build| DynamicResources::new(build).unwrap()), CycleState::default());
    world.with_snapshot(|snapshot| {
        if let Err(rejection) = plugin.pre_filter(snapshot, &mut cycle, &incoming) {
            return vec![rejection.message()];
        }
        let got = |name: &&str| {
            let node = world.cache.find_node(name).unwrap();
            if plugin.filter(snapshot, &cycle, &incoming, node).is_err() {
                return "-".to_owned();
            }
            let state = cycle.get::<State>().unwrap();
            let found = state.found.lock();
            let results = found[&node.slot][0].devices.as_ref().unwrap().results.as_ref().unwrap();
            results.iter().map(|result| result.device.as_str()).collect::<Vec<_>>().join(" ")
        };
        ["a", "b"].iter().map(got).collect()
    })
}

#[test]
fn devices_are_selected_by_expression() {
    let world = world();
    assert_eq!(devices(&world, &exactly("")), ["d0", "d0"]);
    assert_eq!(devices(&world, &cel("device.attributes['d'].model == 'y'")), ["-", "d1"]);
    assert_eq!(devices(&world, &cel("device.attributes['d'].none == 'y'")), ["-", "-"]);
    let memory = "device.capacity['d'].memory.compareTo(quantity('1Gi')) >= 0";
    assert_eq!(devices(&world, &cel(memory)), ["-", "d1"]);
}

#[test]
fn counts_and_constraints_hold() {
    let world = world();
    assert_eq!(devices(&world, &exactly("count: 2")), ["-", "d0 d1"]);
    assert_eq!(devices(&world, &exactly("allocationMode: All")), ["d0", "d0 d1"]);
    let same = format!("{}, constraints: [{{matchAttribute: d/model}}]", exactly("count: 2"));
    assert_eq!(devices(&world, &same), ["-", "-"]);
    let distinct = format!("{}, constraints: [{{distinctAttribute: d/model}}]", exactly("count: 2"));
    assert_eq!(devices(&world, &distinct), ["-", "d0 d1"]);
}

#[test]
fn the_first_alternative_that_can_be_had_is_taken() {
    let world = world();
    let two_or_one = "requests: [{name: r, firstAvailable: [{name: two, deviceClassName: c, count: 2}, {name: one, deviceClassName: c}]}]";
    assert_eq!(devices(&world, two_or_one), ["d0", "d0 d1"]);
}

#[test]
fn devices_in_use_are_not_given_again() {
    let world = world();
    let other = "metadata: {name: other, namespace: d, uid: o}
spec: {}
status: {allocation: {devices: {results: [{request: r, driver: d, pool: b, device: d0}]}}}";
    world.objects.resource_claims.apply(Key::new("d", "other"), Some(serde_yaml::from_str(other).unwrap()));
    assert_eq!(devices(&world, &exactly("")), ["d0", "d1"]);
    assert_eq!(devices(&world, &exactly("count: 2")), ["-", "-"]);
}

#[test]
fn a_missing_class_is_told() {
    let claim = "requests: [{name: r, exactly: {deviceClassName: gone}}]";
    assert_eq!(devices(&world(), claim), ["request r: device class gone does not exist"]);
}
