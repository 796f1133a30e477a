use std::net::SocketAddr;

use api_types::k8s::api::core::v1::{Node, Service};
use api_types::k8s::api::discovery::v1::EndpointSlice;
use nfnetlink::Family;
use serde_json::{Value, json};

use super::*;

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "a", "name": "web"}, "spec": spec})).unwrap()
}

fn plain() -> Service {
    service(
        json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"name": "http", "port": 80}]}),
    )
}

/// Endpoints as `ip [ready|draining|dead] [node] [zone hint] [node hint]`, `-` for nothing.
fn slice(name: &str, endpoints: &[&str]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|text| {
            let words: Vec<&str> = text.split(' ').collect();
            let word = |at: usize| words.get(at).copied().filter(|word| *word != "-");
            let (ready, serving, terminating) = match word(1) {
                Some("draining") => (false, true, true),
                Some("dead") => (false, false, true),
                _ => (true, true, false),
            };
            let named = |name: Option<&str>| name.map(|name| json!([{"name": name}]));
            json!({"addresses": [words[0]], "nodeName": word(2),
                "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
                "hints": {"forZones": named(word(3)), "forNodes": named(word(4))}})
        })
        .collect();
    let labels = json!({"kubernetes.io/service-name": "web"});
    let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
    serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name, "labels": labels},
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints}))
    .unwrap()
}

fn node(zone: &str) -> Node {
    let labels = json!({"topology.kubernetes.io/zone": zone});
    serde_json::from_value(json!({"metadata": {"name": "me", "labels": labels}})).unwrap()
}

fn backends(traffic: &Traffic) -> Vec<String> {
    match traffic {
        Traffic::To(list) => list.iter().map(|address: &SocketAddr| address.ip().to_string()).collect(),
        other => vec![format!("{other:?}")],
    }
}

/// What cluster-wide and local traffic get for these endpoints.
fn chosen(endpoints: &[&str]) -> (String, String) {
    let mut index = Index::new("me");
    index.apply_node(&node("z1"));
    index.apply_service(&service(
        json!({"clusterIP": "10.96.0.1", "type": "LoadBalancer", "ports": [{"name": "http", "port": 80}],
        "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Local"}),
    ));
    index.apply_slice(&slice("s1", endpoints));
    let model = index.model(&"a/web".into()).unwrap();
    let External::Local { outside, nearby } = &model.ports[0].external else { panic!("policy is Local") };
    assert_eq!(*nearby, model.ports[0].internal);
    (backends(nearby).join(" "), backends(outside).join(" "))
}

#[test]
fn endpoints_are_chosen_by_condition_node_and_hints() {
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "Reject", "Reject"),
        (&["1.1.1.1 dead me"], "Reject", "Reject"),
        (&["1.1.1.1 ready me", "1.1.1.2 ready other"], "1.1.1.1 1.1.1.2", "1.1.1.1"),
        (&["1.1.1.2 ready other"], "1.1.1.2", "Drop"),
        // Draining endpoints serve only where nothing is ready: for the cluster, and for the node by itself.
        (&["1.1.1.1 draining me", "1.1.1.2 ready other"], "1.1.1.2", "1.1.1.1"),
        (&["1.1.1.1 draining me", "1.1.1.2 draining other"], "1.1.1.1 1.1.1.2", "1.1.1.1"),
        // Hints count when all have them and some are for us.
        (&["1.1.1.1 ready me z1", "1.1.1.2 ready other z2"], "1.1.1.1", "1.1.1.1"),
        (&["1.1.1.1 ready me z1", "1.1.1.2 ready other"], "1.1.1.1 1.1.1.2", "1.1.1.1"),
        (&["1.1.1.1 ready me z2", "1.1.1.2 ready other z2"], "1.1.1.1 1.1.1.2", "1.1.1.1"),
        (&["1.1.1.1 ready me z2", "1.1.1.2 ready other z1"], "1.1.1.2", "1.1.1.1"),
        (&["1.1.1.1 ready me z1 me", "1.1.1.2 ready other z1 other"], "1.1.1.1", "1.1.1.1"),
        (&["1.1.1.1 ready me z1 other", "1.1.1.2 ready other z1 other"], "1.1.1.1 1.1.1.2", "1.1.1.1"),
    ];
    for (endpoints, cluster, local) in cases {
        assert_eq!(chosen(endpoints), ((*cluster).to_owned(), (*local).to_owned()), "{endpoints:?}");
    }
}

#[test]
fn only_what_matters_is_a_change() {
    let mut index = Index::new("me");
    assert!(index.apply_service(&plain()));
    assert!(index.apply_slice(&slice("s1", &["1.1.1.1"])));
    assert_eq!(index.take_changes().len(), 1);

    let mut relabelled = plain();
    relabelled.metadata.resource_version = Some("7".into());
    relabelled.metadata.annotations = Some([("x".to_owned(), "y".to_owned())].into());
    assert!(!index.apply_service(&relabelled));
    assert!(!index.apply_slice(&slice("s1", &["1.1.1.1"])));
    assert!(index.take_changes().is_empty());

    assert!(index.apply_slice(&slice("s2", &["1.1.1.2"])));
    assert!(index.delete_slice("a", "s1"));
    assert!(!index.delete_slice("a", "s1"));
    let changes = index.take_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(backends(&changes[0].1.as_ref().unwrap().ports[0].internal), ["1.1.1.2"]);

    assert!(index.delete_service("a", "web"));
    assert_eq!(index.take_changes(), [("a/web".into(), None)]);
}

#[test]
fn services_without_anything_to_program_are_skipped() {
    for spec in
        [json!({"clusterIP": "None"}), json!({"type": "ExternalName", "externalName": "x.y"}), json!({})]
    {
        let mut index = Index::new("me");
        assert!(!index.apply_service(&service(spec.clone())), "{spec}");
        // One that had something before is taken back.
        index.apply_service(&plain());
        index.take_changes();
        assert!(index.apply_service(&service(spec)));
        assert_eq!(index.take_changes(), [("a/web".into(), None)]);
    }
}

#[test]
fn both_families_are_modelled() {
    let mut index = Index::new("me");
    index.apply_service(&service(json!({"clusterIPs": ["10.96.0.1", "fd00::1"], "clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80}],
        "externalIPs": ["203.0.113.1", "2001:db8::1"], "sessionAffinity": "ClientIP"})));
    let model = index.model(&"a/web".into()).unwrap();
    let families: Vec<_> =
        model.ports.iter().map(|port| (port.family, port.external_ips.len(), port.affinity)).collect();
    assert_eq!(families, [(Family::V4, 1, Some(10_800)), (Family::V6, 1, Some(10_800))]);
}

#[test]
fn a_slice_may_change_its_service() {
    let mut index = Index::new("me");
    index.apply_service(&plain());
    index.apply_slice(&slice("s1", &["1.1.1.1"]));
    index.take_changes();
    let mut moved = slice("s1", &["1.1.1.1"]);
    moved.metadata.labels = Some([("kubernetes.io/service-name".to_owned(), "other".to_owned())].into());
    assert!(index.apply_slice(&moved));
    let changed: Vec<_> = index.take_changes().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(changed, ["a/other", "a/web"]);
}
