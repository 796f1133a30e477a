//! Admission webhooks against the real server.

use std::sync::Arc;

use base64::Engine as _;
use hyper::Method;
use serde_json::{Value, json};

use crate::hook_server::{HookServer, Seen};
use crate::server::{Server, configmap};

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// What a well-behaved webhook answers.
fn review(seen: &Seen, response: Value) -> (u16, Value) {
    let mut response = response;
    response["uid"] = seen.body["request"]["uid"].clone();
    (200, json!({"apiVersion": seen.body["apiVersion"], "kind": "AdmissionReview", "response": response}))
}

fn patch(operations: Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": encode(&operations.to_string())})
}

/// Answers by the last part of the path.
fn respond(seen: &Seen) -> (u16, Value) {
    let path = seen.path.split('?').next().unwrap_or_default();
    match path {
        "/deny" => review(
            seen,
            json!({"allowed": false, "status": {"code": 402, "message": "no money", "reason": "Poor"}, "warnings": ["think again"]}),
        ),
        "/mute" => review(seen, json!({"allowed": false})),
        "/label" => {
            review(seen, patch(json!([{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}])))
        }
        "/count" => {
            let count = seen.body["request"]["object"]["data"]["count"].as_str().unwrap_or("0").len();
            let value = "x".repeat(count + 1);
            review(seen, patch(json!([{"op": "add", "path": "/data/count", "value": value}])))
        }
        "/forget" => (200, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"})),
        "/elsewhere" => (302, json!({})),
        "/break" => (500, json!("boom")),
        _ => review(seen, json!({"allowed": true, "warnings": ["seen"]})),
    }
}

struct World {
    server: Server,
    hooks: HookServer,
}

impl World {
    async fn start() -> Self {
        let server = Server::start(&[], &[]).await;
        let hooks = HookServer::start(server.authority(), &["hook.default.svc"], Arc::new(respond)).await;
        Self { server, hooks }
    }

    fn hook(&self, path: &str, changes: Value) -> Value {
        let mut hook = json!({
            "name": "test.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {
                "url": self.hooks.url(path), "caBundle": encode(&self.server.authority().pem()),
            },
            "rules": [{
                "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
            }],
        });
        for (key, value) in changes.as_object().expect("changes") {
            hook[key] = value.clone();
        }
        hook
    }

    /// Registers hooks and waits until the server knows them: a marker among them refuses an object that nobody keeps.
    async fn register(&self, kind: &str, name: &str, mut hooks: Vec<Value>) {
        let marked = json!({"matchLabels": {"marker": name}});
        hooks.insert(0, self.hook("/mute", json!({"name": "marker.example.com", "objectSelector": marked})));
        let plural = format!("{}s", kind.to_lowercase());
        let created = self
            .server
            .post(
                &format!("{CONFIGURATIONS}/{plural}"),
                json!({
                    "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                    "metadata": {"name": name}, "webhooks": hooks,
                }),
            )
            .await;
        assert_eq!(created.code, 201, "{}", created.message());
        self.settle(name, true).await;
    }

    async fn unregister(&self, kind: &str, name: &str) {
        let plural = format!("{}s", kind.to_lowercase());
        let path = format!("{CONFIGURATIONS}/{plural}/{name}");
        assert_eq!(self.server.ask(Method::DELETE, &path, None).await.code, 200);
        self.settle(name, false).await;
    }

    /// Configurations reach admission by a watch.
    async fn settle(&self, name: &str, known: bool) {
        let path = format!("{CONFIGMAPS}?dryRun=All");
        let marked = || configmap("marker", json!({"marker": name}));
        for _ in 0..1000 {
            let answer = self.server.post(&path, marked()).await;
            if answer.message().contains("marker.example.com") == known {
                self.hooks.take();
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the server does not take in {name}");
    }
}

const VALIDATING: &str = "ValidatingWebhookConfiguration";
const MUTATING: &str = "MutatingWebhookConfiguration";

#[tokio::test]
async fn hooks_see_and_refuse() {
    let world = World::start().await;
    let server = &world.server;
    world.register(VALIDATING, "a", vec![world.hook("/deny", json!({}))]).await;
    let refused = server.post(CONFIGMAPS, configmap("one", json!({"a": "b"}))).await;
    assert_eq!(refused.message(), r#"admission webhook "test.example.com" denied the request: no money"#);
    assert_eq!((refused.code, &refused.body["reason"]), (402, &json!("Poor")));
    assert_eq!(refused.headers["warning"], "299 - \"think again\"");
    let seen = world.hooks.take();
    let request = &seen[0].body["request"];
    assert_eq!(seen[0].path, "/deny?timeout=10s");
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(request["resource"], json!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!(
        (&request["operation"], &request["name"], &request["namespace"], &request["dryRun"]),
        (&json!("CREATE"), &json!("one"), &json!("default"), &json!(false))
    );
    assert_eq!(request["object"]["kind"], "ConfigMap");
    assert_eq!(request["oldObject"], Value::Null);
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!(request["options"]["kind"], "CreateOptions");
    // Other operations and resources are not asked about.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    assert_eq!(server.post("/api/v1/namespaces/default/secrets", secret).await.code, 201);
    assert!(world.hooks.take().is_empty());
    world.unregister(VALIDATING, "a").await;
    assert_eq!(server.post(CONFIGMAPS, configmap("one", json!({}))).await.code, 201);

    // Deletions show the old object.
    let rules =
        json!([{"operations": ["DELETE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]);
    world.register(VALIDATING, "b", vec![world.hook("/mute", json!({"rules": rules}))]).await;
    let refused = server.ask(Method::DELETE, &format!("{CONFIGMAPS}/one"), None).await;
    assert_eq!(
        refused.message(),
        r#"admission webhook "test.example.com" denied the request without explanation"#
    );
    assert_eq!(refused.code, 400);
    let request = &world.hooks.take()[0].body["request"];
    assert_eq!((&request["object"], &request["oldObject"]["kind"]), (&Value::Null, &json!("ConfigMap")));
    // A patch is shown as the update that it is; a connection as its parameters.
    world.unregister(VALIDATING, "b").await;
    let rules = json!([{"operations": ["UPDATE", "CONNECT"], "apiGroups": [""], "apiVersions": ["v1"],
        "resources": ["configmaps", "pods/exec"]}]);
    world.register(VALIDATING, "b", vec![world.hook("/mute", json!({"rules": rules}))]).await;
    let change = json!({"data": {"k": "w"}});
    let refused = server.ask(Method::PATCH, &format!("{CONFIGMAPS}/one"), Some(change)).await;
    assert_eq!(refused.code, 400, "{}", refused.message());
    let request = &world.hooks.take()[0].body["request"];
    assert_eq!(request["options"]["kind"], "UpdateOptions");
    assert_eq!(
        (&request["oldObject"]["data"]["k"], &request["object"]["data"]["k"]),
        (&json!("v"), &json!("w"))
    );
    let exec = "/api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&stdin=true";
    let refused = server.post(exec, Value::Null).await;
    assert_eq!(refused.code, 400, "{}", refused.message());
    let request = &world.hooks.take()[0].body["request"];
    assert_eq!(
        (&request["operation"], &request["subResource"], &request["object"]),
        (
            &json!("CONNECT"),
            &json!("exec"),
            &json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["sh", "-c"], "stdin": true}),
        )
    );
    // The configurations themselves stay reparable.
    world.unregister(VALIDATING, "b").await;
}

#[tokio::test]
async fn hooks_change_objects_and_run_again() {
    let world = World::start().await;
    let server = &world.server;
    let hooks = vec![
        world.hook("/count", json!({"name": "count.example.com", "reinvocationPolicy": "IfNeeded"})),
        world.hook("/label", json!({"name": "label.example.com"})),
    ];
    world.register(MUTATING, "change", hooks).await;
    let made = server.post(CONFIGMAPS, configmap("one", json!({"a": "b"}))).await;
    assert_eq!(made.code, 201, "{}", made.message());
    assert_eq!(made.body["metadata"]["labels"], json!({"a": "b", "touched": "yes"}));
    // The first hook is asked again because the second one changed the object after it; the second is not.
    assert_eq!(made.body["data"]["count"], "xxx");
    let paths: Vec<_> = world.hooks.take().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/count?timeout=10s", "/label?timeout=10s", "/count?timeout=10s"]);
    // A patch that cannot be applied is the hook's fault.
    let failed = server.post(CONFIGMAPS, configmap("two", json!(null))).await;
    assert_eq!(failed.code, 500, "{}", failed.message());
}

#[tokio::test]
async fn selectors_versions_and_dry_runs_decide_who_is_asked() {
    let world = World::start().await;
    let server = &world.server;
    let rules = |group: &str, version: &str, resource: &str| json!([{"operations": ["*"], "apiGroups": [group], "apiVersions": [version], "resources": [resource]}]);
    let hooks = vec![
        world.hook("/labelled", json!({"name": "labelled.example.com", "objectSelector": {"matchLabels": {"x": "y"}}})),
        world.hook("/elsewhere-ns", json!({
            "name": "ns.example.com", "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}},
        })),
        world.hook("/old", json!({
            "name": "old.example.com", "rules": rules("autoscaling", "v1", "horizontalpodautoscalers"),
        })),
        world.hook("/exact", json!({
            "name": "exact.example.com", "matchPolicy": "Exact",
            "rules": rules("autoscaling", "v1", "horizontalpodautoscalers"),
        })),
        world.hook("/scope", json!({
            "name": "scope.example.com",
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["namespaces"], "scope": "Cluster"}],
        })),
        world.hook("/condition", json!({
            "name": "condition.example.com", "rules": rules("", "v1", "secrets"),
            "matchConditions": [{"name": "named", "expression": "object.metadata.name == 'chosen' && request.userInfo.username == 'admin'"}],
        })),
        world.hook("/side", json!({"name": "side.example.com", "rules": rules("", "v1", "secrets")})),
    ];
    world.register(VALIDATING, "choose", hooks).await;
    let asked = || {
        let paths = world
            .hooks
            .take()
            .into_iter()
            .map(|seen| seen.path.split('?').next().unwrap_or_default().to_owned());
        paths.collect::<Vec<_>>()
    };
    assert_eq!(server.post(CONFIGMAPS, configmap("plain", json!({}))).await.code, 201);
    assert_eq!(asked(), Vec::<String>::new());
    let warned = server.post(CONFIGMAPS, configmap("labelled", json!({"x": "y"}))).await;
    assert_eq!(warned.headers["warning"], "299 - \"seen\"");
    assert_eq!(asked(), ["/labelled"]);
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}},
    });
    let made = server.post("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).await;
    assert_eq!(made.code, 201, "{}", made.message());
    let seen = world.hooks.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let request = &seen[0].body["request"];
    assert_eq!(request["object"]["apiVersion"], "autoscaling/v1");
    assert_eq!(
        (&request["kind"]["version"], &request["requestKind"]["version"]),
        (&json!("v1"), &json!("v2"))
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    assert_eq!(server.post("/api/v1/namespaces", namespace).await.code, 201);
    assert_eq!(asked(), ["/scope"]);
    assert_eq!(server.post("/api/v1/namespaces/other/configmaps", configmap("c", json!({}))).await.code, 201);
    assert_eq!(asked(), ["/elsewhere-ns"]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    assert_eq!(server.post("/api/v1/namespaces/default/secrets?dryRun=All", secret).await.code, 201);
    let seen = world.hooks.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body["request"]["dryRun"], true);
    let chosen = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "chosen"}});
    assert_eq!(server.post("/api/v1/namespaces/default/secrets", chosen).await.code, 201);
    let mut paths = asked();
    paths.sort();
    assert_eq!(paths, ["/condition", "/side"]);
    // A question about somebody's rights is never a hook's business.
    let question = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    world.register(VALIDATING, "all", vec![world.hook("/deny", json!({"rules": [
        {"operations": ["*"], "apiGroups": ["authorization.k8s.io"], "apiVersions": ["*"], "resources": ["*"]}]}))]).await;
    assert_eq!(
        server.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", question).await.code,
        201
    );
}

#[tokio::test]
async fn failing_hooks_follow_their_policy_and_spare_what_keeps_the_cluster_alive() {
    let world = World::start().await;
    let server = &world.server;
    for (path, message) in [
        (
            "/break",
            r#"failed calling webhook "test.example.com": failed to call webhook: an error on the server ("\"boom\"") has prevented the request from succeeding"#,
        ),
        (
            "/elsewhere",
            r#"failed calling webhook "test.example.com": failed to call webhook: the server responded with the status code 302 but did not return more information"#,
        ),
        (
            "/forget",
            r#"failed calling webhook "test.example.com": received invalid webhook response: webhook response was absent"#,
        ),
    ] {
        world.register(VALIDATING, "broken", vec![world.hook(path, json!({}))]).await;
        let failed = server.post(CONFIGMAPS, configmap("x", json!({}))).await;
        assert_eq!(failed.message(), format!("Internal error occurred: {message}"));
        assert_eq!(failed.code, 500);
        world.unregister(VALIDATING, "broken").await;
    }
    let untrusted =
        json!({"url": world.hooks.url("/"), "caBundle": encode(&crate::server::Server::stranger())});
    world.register(VALIDATING, "untrusted", vec![world.hook("/", json!({"clientConfig": untrusted}))]).await;
    let failed = server.post(CONFIGMAPS, configmap("x", json!({}))).await;
    assert_eq!(
        failed.message(),
        format!(
            "Internal error occurred: failed calling webhook \"test.example.com\": failed to call webhook: Post \"{}\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            world.hooks.url("/?timeout=10s")
        )
    );
    world.unregister(VALIDATING, "untrusted").await;
    world.register(VALIDATING, "open", vec![world.hook("/break", json!({"failurePolicy": "Ignore"}))]).await;
    assert_eq!(server.post(CONFIGMAPS, configmap("open", json!({}))).await.code, 201);
    world.unregister(VALIDATING, "open").await;

    // A catch-all hook whose server is gone.
    let everything =
        json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    let gone = json!({"service": {"namespace": "default", "name": "gone"}});
    let hook = world.hook("/", json!({"rules": everything, "clientConfig": gone}));
    world.register(VALIDATING, "gone", vec![hook]).await;
    let refused = server.post(CONFIGMAPS, configmap("y", json!({}))).await;
    assert_eq!(
        refused.message(),
        r#"Internal error occurred: failed calling webhook "test.example.com": failed to call webhook: Post "https://gone.default.svc:443/?timeout=10s": service "gone" not found"#
    );
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"}});
    let headers = [
        ("authorization", "Bearer admintoken"),
        ("impersonate-user", "system:kube-scheduler"),
        ("impersonate-group", "system:masters"),
    ];
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let made = server.ask_as(&headers, Method::POST, leases, Some(lease)).await;
    assert_eq!(made.code, 201, "{}", made.message());
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gone"},
        "spec": {"selector": {"app": "gone"}, "ports": [{"port": 443}]}});
    assert_eq!(server.post("/api/v1/namespaces/default/services", service).await.code, 201);
    let events = server
        .until("/api/v1/namespaces/default/events", |events| {
            let mut items = events.body["items"].as_array().into_iter().flatten();
            items.any(|event| event["involvedObject"]["name"] == "gone")
        })
        .await;
    assert!(events.body.to_string().contains("WebhookFailing"));
    let metrics = server.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap_or_default();
    for name in ["rejection_count", "fail_open_count", "request_total", "admission_duration_seconds"] {
        assert!(metrics.contains(&format!("apiserver_admission_webhook_{name}")), "{name}");
    }
}
