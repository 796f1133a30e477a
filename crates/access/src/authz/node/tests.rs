use serde_json::json;

use super::*;
use crate::UserInfo;
use crate::authz::SelectorRequirement;

fn kubelet(node: &str) -> UserInfo {
    UserInfo::new(format!("system:node:{node}"), ["system:nodes"])
}

fn graph() -> NodeGraph {
    let graph = NodeGraph::new(vec![PolicyRule {
        verbs: vec!["get".into(), "list".into(), "watch".into()],
        api_groups: vec!["".into()],
        resources: vec!["services".into()],
        ..PolicyRule::default()
    }]);
    let pod = json!({"spec": {"nodeName": "n1", "serviceAccountName": "bot",
        "containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env"}}}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "vol"}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "cm"}}]}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "d", "ephemeral": {}}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu-1"}]}});
    let volume = json!({"spec": {"claimRef": {"namespace": "ns", "name": "data"},
        "csi": {"nodeStageSecretRef": {"name": "stage", "namespace": "csi"}}}});
    let attached = json!({"spec": {"nodeName": "n1"}});
    for (resource, namespace, name, body) in [
        ("pods", "ns", "p", pod),
        ("persistentvolumes", "", "pv1", volume),
        ("volumeattachments", "", "va1", attached.clone()),
        ("resourceslices", "", "rs1", attached),
    ] {
        graph.upsert(resource, namespace, name, body.to_string().as_bytes()).unwrap();
    }
    graph
}

#[test]
fn a_kubelet_reaches_what_its_pods_need() {
    let graph = graph();
    let cases = [
        ("", "secrets", "ns", "env"),
        ("", "secrets", "ns", "vol"),
        ("", "secrets", "csi", "stage"),
        ("", "configmaps", "ns", "cm"),
        ("", "persistentvolumeclaims", "ns", "data"),
        ("", "persistentvolumeclaims", "ns", "p-d"),
        ("", "persistentvolumes", "", "pv1"),
        ("storage.k8s.io", "volumeattachments", "", "va1"),
        ("resource.k8s.io", "resourceclaims", "ns", "gpu-1"),
        ("resource.k8s.io", "resourceslices", "", "rs1"),
        ("", "pods", "ns", "p"),
    ];
    let ask = |node: &str| {
        let user = kubelet(node);
        cases.map(|(group, resource, namespace, name)| {
            graph.authorize(
                &Attributes::resource(&user, "get", group, resource).in_namespace(namespace).named(name),
            )
        })
    };
    for (case, verdict) in cases.iter().zip(ask("n1")) {
        assert!(verdict.allowed(), "n1 {case:?}: {}", verdict.reason);
    }
    for (case, verdict) in cases.iter().zip(ask("n2")) {
        assert_eq!(verdict.reason, "no relationship found between node 'n2' and this object", "{case:?}");
    }
    graph.remove("pods", "ns", "p");
    let own = ["volumeattachments", "resourceslices"];
    for (case, verdict) in cases.iter().zip(ask("n1")) {
        assert_eq!(verdict.allowed(), own.contains(&case.1), "{case:?} after the pod is gone");
    }
}

#[test]
fn other_requests_of_kubelets() {
    let graph = graph();
    let user = kubelet("n1");
    let ask = |verb, group, resource| Attributes::resource(&user, verb, group, resource);
    let with_field = |mut request: Attributes<'static>, field: &str| {
        request.field_selector = vec![SelectorRequirement {
            key: field.into(),
            operator: SelectorOperator::In,
            values: vec!["n1".into()],
        }];
        request
    };
    let user: &'static UserInfo = Box::leak(Box::new(user.clone()));
    let leaked = |verb: &'static str, resource: &'static str| Attributes::resource(user, verb, "", resource);
    let cases = [
        (ask("list", "", "services"), Ok(())),
        (ask("list", "", "secrets").in_namespace("ns"), Err("No Object name found")),
        (
            ask("create", "", "secrets").in_namespace("ns").named("x"),
            Err("can only read resources of this type"),
        ),
        (ask("list", "", "pods"), Err("can only list/watch pods with spec.nodeName field selector")),
        (with_field(leaked("list", "pods"), "spec.nodeName"), Ok(())),
        (ask("list", "", "nodes"), Err("node 'n1' cannot read all nodes, only its own Node object")),
        (with_field(leaked("watch", "nodes"), "metadata.name"), Ok(())),
        (ask("get", "", "nodes").named("n2"), Err("node 'n1' cannot read 'n2', only its own Node object")),
        (ask("patch", "", "nodes").named("n1").of_subresource("status"), Ok(())),
        (
            ask("create", "", "serviceaccounts").in_namespace("ns").named("bot").of_subresource("token"),
            Ok(()),
        ),
        (
            ask("create", "", "serviceaccounts").in_namespace("ns").named("other").of_subresource("token"),
            Err("no relationship found between node 'n1' and this object"),
        ),
        (ask("update", "coordination.k8s.io", "leases").in_namespace("kube-node-lease").named("n1"), Ok(())),
        (
            ask("update", "coordination.k8s.io", "leases").in_namespace("kube-node-lease").named("n2"),
            Err("can only access node lease with the same name as the requesting node"),
        ),
        (
            ask("get", "coordination.k8s.io", "leases").in_namespace("default").named("n1"),
            Err("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
        (ask("delete", "", "services").named("x"), Err("")),
    ];
    for (request, expected) in cases {
        let verdict = graph.authorize(&request);
        assert_eq!(
            if verdict.allowed() { Ok(()) } else { Err(verdict.reason.as_str()) },
            expected,
            "{request:?}"
        );
    }
}

#[test]
fn mirror_pods_lead_nowhere() {
    let graph = NodeGraph::new(vec![]);
    let pod = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "n1", "volumes": [{"name": "a", "secret": {"secretName": "vol"}}]}});
    graph.upsert("pods", "ns", "p", pod.to_string().as_bytes()).unwrap();
    let user = kubelet("n1");
    let ask = |resource, name| {
        graph.authorize(&Attributes::resource(&user, "get", "", resource).in_namespace("ns").named(name))
    };
    assert!(ask("pods", "p").allowed());
    assert!(!ask("secrets", "vol").allowed());
}
