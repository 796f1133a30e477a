use super::*;

fn node(name: &str, zone: &str) -> Arc<Node> {
    let text = format!(
        "metadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: {zone}}}}}\nstatus: {{allocatable: {{cpu: '4', pods: '10'}}}}"
    );
    Arc::new(serde_yaml::from_str(&text).unwrap())
}

fn pod(name: &str, node: &str) -> Arc<PodInfo> {
    let text = format!(
        "metadata: {{name: {name}, namespace: d, uid: {name}, labels: {{app: a}}}}
spec: {{nodeName: '{node}', containers: [{{name: c, resources: {{requests: {{cpu: '1'}}}}}}]}}"
    );
    Arc::new(PodInfo::new(Arc::new(serde_yaml::from_str(&text).unwrap())))
}

#[test]
fn zones_take_turns() {
    let mut cache = Cache::default();
    for (name, zone) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        cache.set_node(node(name, zone));
    }
    cache.settle();
    let names: Vec<&str> = cache.order().iter().map(|slot| &*cache.node(*slot).name).collect();
    assert_eq!(names, ["a1", "b1", "a2", "a3"]);
}

#[test]
fn sums_return_to_zero() {
    let mut cache = Cache::default();
    cache.set_node(node("n", "a"));
    let key = MatchKey {
        clauses: vec![(vec!["d".into()], api_types::selector::Selector::parse("app=a").unwrap())],
        live_only: false,
    };
    assert_eq!(cache.counts(&key).iter().sum::<u32>(), 0);
    cache.assume(pod("p", ""), "n");
    assert_eq!(cache.find_node("n").unwrap().requested.milli_cpu, 1000);
    assert_eq!(cache.counts(&key).iter().sum::<u32>(), 1);
    cache.set_pod(pod("p", "n"));
    assert!(!cache.is_assumed("p"));
    assert_eq!(cache.find_node("n").unwrap().pods.len(), 1);
    cache.forget("p");
    assert_eq!(cache.find_node("n").unwrap().pods.len(), 1, "a confirmed pod is not forgotten");
    cache.remove_pod("p");
    assert!(cache.find_node("n").unwrap().requested.is_zero());
    assert_eq!(cache.counts(&key).iter().sum::<u32>(), 0);
}

#[test]
fn a_removed_node_keeps_its_pods_until_they_go() {
    let mut cache = Cache::default();
    cache.set_node(node("n", "a"));
    cache.set_pod(pod("p", "n"));
    cache.remove_node("n");
    assert!(cache.find_node("n").is_none());
    cache.set_node(node("n", "a"));
    assert_eq!(cache.find_node("n").unwrap().pods.len(), 1);
    cache.remove_node("n");
    cache.remove_pod("p");
    cache.set_node(node("m", "a"));
    assert_eq!(cache.slots(), 1, "the slot is used again");
}
