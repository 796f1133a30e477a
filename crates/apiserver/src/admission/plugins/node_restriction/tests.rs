use serde_json::json;

use super::super::testing::{Ask, World, create, dependencies, update};
use super::*;

fn owner(name: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": "n1-uid", "controller": true}])
}

fn mirror(spec: Value) -> Value {
    json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": owner("n1")}, "spec": spec})
}

async fn ask(ask: Ask) -> Result<(), String> {
    let world = World::with(&[
        ("/nodes//n1", json!({"metadata": {"name": "n1", "uid": "n1-uid"}})),
        (
            "/pods/ns/mine",
            json!({"metadata": {"uid": "1"}, "spec": {"nodeName": "n1", "volumes": [
            {"projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}}]}}),
        ),
        ("/pods/ns/other", json!({"metadata": {"uid": "1"}, "spec": {"nodeName": "n2"}})),
    ]);
    let plugin = make(&dependencies(&world));
    ask.by_node("n1").put_to(&*plugin, &world).await.map(drop)
}

fn node(body: Value) -> Ask {
    create("", "nodes", body)
}

fn change(old: Value, new: Value) -> Ask {
    update("", "nodes", old, new).named("n1")
}

#[tokio::test]
async fn nodes() {
    let labels = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}});
    let cases = [
        (node(labels(json!({"kubernetes.io/os": "linux"}))), Ok(())),
        (node(json!({"metadata": {"name": "n2"}})), Err("node \"n1\" is not allowed to modify node \"n2\"")),
        (
            node(labels(json!({"node-role.kubernetes.io/x": ""}))),
            Err("node \"n1\" is not allowed to set the following labels: node-role.kubernetes.io/x"),
        ),
        (
            change(
                labels(json!({})),
                labels(json!({"topology.kubernetes.io/zone": "z", "example.com/x": "y"})),
            ),
            Ok(()),
        ),
        (
            change(
                labels(json!({})),
                labels(json!({"bogus.kubernetes.io/x": "y", "a.node-restriction.kubernetes.io/b": "c"})),
            ),
            Err("is not allowed to modify labels: a.node-restriction.kubernetes.io/b, bogus.kubernetes.io/x"),
        ),
        (
            change(labels(json!({"node-role.kubernetes.io/x": ""})), labels(json!({}))),
            Err("is not allowed to modify labels: node-role.kubernetes.io/x"),
        ),
        (
            change(
                labels(json!({})),
                json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "a"}]}}),
            ),
            Err("node \"n1\" is not allowed to modify taints"),
        ),
        (
            change(labels(json!({})), json!({"metadata": {"name": "n1", "ownerReferences": [{}]}})),
            Err("node \"n1\" is not allowed to modify ownerReferences"),
        ),
        (node(labels(json!({}))).on("status").named("n2"), Ok(())),
    ];
    for (request, expected) in cases {
        let shown = format!("{:?}", request.object);
        let got = ask(request).await;
        let wrapped = expected.map_err(|why| format!("nodes \"n1\" is forbidden: {why}"));
        let wrapped2 = expected.map_err(|why| format!("nodes \"x\" is forbidden: {why}"));
        assert!(got == wrapped || got == wrapped2, "{shown}: {got:?}");
    }
}

#[tokio::test]
async fn pods() {
    let on_n1 = |extra: Value| {
        let mut spec = json!({"nodeName": "n1"});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        mirror(spec)
    };
    let pod = |body: Value| create("", "pods", body);
    let remove = |node: &str| Ask {
        operation: Operation::Delete,
        ..update("", "pods", json!({"spec": {"nodeName": node}}), json!({}))
    };
    let cases = [
        (pod(on_n1(json!({}))), Ok(())),
        (
            pod(json!({"spec": {"nodeName": "n1"}})),
            Err(
                "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
            ),
        ),
        (
            pod(mirror(json!({"nodeName": "n2"}))),
            Err("node \"n1\" can only create pods with spec.nodeName set to itself"),
        ),
        (
            pod(on_n1(json!({"volumes": [{"secret": {"secretName": "s"}}]}))),
            Err("node \"n1\" can not create pods that reference secrets"),
        ),
        (
            pod(on_n1(json!({"volumes": [{"configMap": {"name": "s"}}]}))),
            Err("node \"n1\" can not create pods that reference configmaps"),
        ),
        (
            pod(on_n1(json!({"serviceAccountName": "a"}))),
            Err("node \"n1\" can not create pods that reference a service account"),
        ),
        (remove("n1"), Ok(())),
        (remove("n2"), Err("node \"n1\" can only delete pods with spec.nodeName set to itself")),
        (update("", "pods", json!({"spec": {"nodeName": "n1"}}), json!({})).on("status"), Ok(())),
        (
            update("", "pods", json!({"spec": {"nodeName": "n2"}}), json!({})).on("status"),
            Err("node \"n1\" can only update pod status for pods with spec.nodeName set to itself"),
        ),
        (create("", "pods", json!({})).on("eviction").named("mine"), Ok(())),
        (
            create("", "pods", json!({})).on("exec"),
            Err("unexpected pod subresource \"exec\", only 'status' and 'eviction' are allowed"),
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(ask(request).await, expected.map_err(|why| format!("pods \"x\" is forbidden: {why}")));
    }
}

#[tokio::test]
async fn tokens_and_leases() {
    let token = |spec: Value| create("", "serviceaccounts", json!({"spec": spec})).on("token");
    let bound = |name: &str, uid: &str| json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}});
    let with = |audience: &str| {
        let mut spec = bound("mine", "1");
        spec["audiences"] = json!([audience]);
        spec
    };
    let lease = |namespace: &'static str, name: &str| Ask {
        namespace,
        ..create("coordination.k8s.io", "leases", json!({"metadata": {"name": name}}))
    };
    let accounts = |why: &str| Err(format!("serviceaccounts \"x\" is forbidden: {why}"));
    let leases = |why: &str| Err(format!("leases.coordination.k8s.io \"x\" is forbidden: {why}"));
    let cases = [
        (token(json!({})), accounts("node requested token not bound to a pod")),
        (token(bound("mine", "1")), Ok(())),
        (token(bound("mine", "")), accounts("node requested token with a pod binding without a uid")),
        (
            token(bound("other", "1")),
            accounts("node requested token bound to a pod scheduled on a different node"),
        ),
        (token(with("vault")), Ok(())),
        (token(with("db")), accounts("audience \"db\" not found in pod spec volume")),
        (lease("kube-node-lease", "n1"), Ok(())),
        (
            lease("kube-node-lease", "n2"),
            leases("can only access node lease with the same name as the requesting node"),
        ),
        (
            lease("default", "n1"),
            leases("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(ask(request).await, expected);
    }
}
