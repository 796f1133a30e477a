use super::*;
use crate::framework::Code;
use crate::plugins::testing::{World, build, pod};

/// Nodes a and b; class `local` waits for pods and has no provisioner, `made` has one.
fn world() -> World {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.add_node(&format!("metadata: {{name: {name}, labels: {{host: {name}}}}}"));
    }
    for (name, provisioner) in [("local", volumes::NO_PROVISIONER), ("made", "example.com")] {
        let class = format!(
            "metadata: {{name: {name}}}\nprovisioner: {provisioner}\nvolumeBindingMode: WaitForFirstConsumer"
        );
        world.objects.storage_classes.apply(Key::cluster(name), Some(serde_yaml::from_str(&class).unwrap()));
    }
    world
}

fn add_volume(world: &World, name: &str, size: &str, node: &str) {
    let text = format!(
        "metadata: {{name: {name}}}
spec:
  capacity: {{storage: {size}}}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: host, operator: In, values: [{node}]}}]}}]}}}}
status: {{phase: Available}}"
    );
    world.objects.volumes.apply(Key::cluster(name), Some(serde_yaml::from_str(&text).unwrap()));
}

fn add_claim(world: &World, name: &str, class: &str, more: &str) {
    let text = format!(
        "metadata: {{name: {name}, namespace: d, uid: {name}, annotations: {{{more}}}}}
spec: {{storageClassName: {class}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}"
    );
    world.objects.claims.apply(Key::new("d", name), Some(serde_yaml::from_str(&text).unwrap()));
}

fn using(claim: &str) -> Arc<PodInfo> {
    pod(&format!(
        "metadata: {{name: p, namespace: d, uid: p}}
spec: {{containers: [], volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]}}"
    ))
}

/// The plan for each node: the volume to bind, `+` for one to make, else the reason.
fn plans(world: &World, claim: &str) -> Vec<String> {
    let plugin = build("{}", |build| VolumeBinding::new(build).unwrap());
    let (incoming, mut state) = (using(claim), CycleState::default());
    world.with_snapshot(|snapshot| {
        if let Err(rejection) = plugin.pre_filter(snapshot, &mut state, &incoming) {
            return vec![rejection.message()];
        }
        let plan = |name: &&str| {
            let node = world.cache.find_node(name).unwrap();
            match plugin.filter(snapshot, &state, &incoming, node) {
                Err(rejection) => {
                    assert_eq!(rejection.code, Code::Unresolvable);
                    rejection.message()
                }
                Ok(()) => {
                    let plans = state.get::<Plans>().unwrap().0.lock();
                    let plan = &plans[&node.slot];
                    let bind = plan.bind.iter().map(|(volume, _)| volume.name_any());
                    bind.chain(plan.provision.iter().map(|_| "+".to_owned())).collect()
                }
            }
        };
        ["a", "b"].iter().map(plan).collect()
    })
}

const NONE: &str = "node(s) didn't find available persistent volumes to bind";

#[test]
fn the_smallest_volume_that_is_large_enough_is_taken() {
    let world = world();
    add_claim(&world, "c", "local", "");
    assert_eq!(plans(&world, "c"), [NONE, NONE]);
    add_volume(&world, "large", "9Gi", "a");
    add_volume(&world, "fits", "1Gi", "a");
    add_volume(&world, "small", "1Mi", "b");
    assert_eq!(plans(&world, "c"), ["fits", NONE]);
}

#[test]
fn volumes_are_made_where_none_exist() {
    let world = world();
    add_claim(&world, "c", "made", "");
    assert_eq!(plans(&world, "c"), ["+", "+"]);
    add_claim(&world, "chosen", "made", "volume.kubernetes.io/selected-node: b");
    assert_eq!(plans(&world, "chosen"), [NONE, "+"]);
}

#[test]
fn unusable_claims_stop_the_decision() {
    let world = world();
    assert_eq!(plans(&world, "none"), ["persistentvolumeclaim \"none\" not found"]);
    add_claim(&world, "c", "unknown", "");
    assert_eq!(plans(&world, "c"), ["pod has unbound immediate PersistentVolumeClaims"]);
}
