//! Servers that know tokens and decide about requests, behind the real one.

use std::sync::Arc;

use base64::Engine as _;
use hyper::Method;
use serde_json::{Value, json};

use crate::hook_server::{HookServer, Seen};
use crate::server::{Server, authority};

/// Knows one token; lets its owner read pods.
fn decide(seen: &Seen) -> (u16, Value) {
    let spec = &seen.body["spec"];
    let status = match seen.body["kind"].as_str() {
        Some("TokenReview") if spec["token"] == "hooktoken" => {
            json!({"authenticated": true, "user": {"username": "hooked", "groups": ["hookers"], "extra": {"k": ["v"]}}})
        }
        Some("TokenReview") => json!({"authenticated": false}),
        _ if spec["resourceAttributes"]["resource"] == "pods" => json!({"allowed": true}),
        _ => json!({"allowed": false, "reason": "not mine"}),
    };
    (200, json!({"apiVersion": seen.body["apiVersion"], "kind": seen.body["kind"], "status": status}))
}

#[tokio::test]
async fn other_servers_know_users_and_decide() {
    let signer = authority();
    let decider = HookServer::start(&signer, &[], Arc::new(decide)).await;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {
            "server": decider.url("/decide"),
            "certificate-authority-data": base64::engine::general_purpose::STANDARD.encode(signer.pem()),
        }}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hook.kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).expect("written");
    let authorization = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
        "authorizers": [
            {"type": "RBAC", "name": "rbac"},
            {"type": "Webhook", "name": "hook", "webhook": {
                "timeout": "3s", "subjectAccessReviewVersion": "v1", "failurePolicy": "NoOpinion",
                "matchConditionSubjectAccessReviewVersion": "v1",
                "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": file},
                "matchConditions": [{"expression": "'hookers' in request.groups"}],
            }},
        ],
    });
    let authentication = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": true, "conditions": [{"path": "/livez"}]},
    });
    let webhook = format!("--authentication-token-webhook-config-file={}", file.display());
    let flags = [
        webhook.as_str(),
        "--authentication-token-webhook-version=v1",
        "--authorization-config={}/authorization.yaml",
        "--authentication-config={}/authentication.yaml",
    ];
    let files = [
        ("authorization.yaml", authorization.to_string()),
        ("authentication.yaml", authentication.to_string()),
    ];
    let server = Server::start_without(&["--authorization-mode"], &flags, &files).await;

    let by = [("authorization", "Bearer hooktoken")];
    let pods = "/api/v1/namespaces/default/pods";
    let allowed = server.ask_as(&by, Method::GET, pods, None).await;
    assert_eq!(allowed.code, 200, "{}", allowed.message());
    let refused = server.ask_as(&by, Method::GET, "/api/v1/secrets", None).await;
    assert_eq!(
        refused.message(),
        "secrets is forbidden: User \"hooked\" cannot list resource \"secrets\" in API group \"\" at the cluster scope: not mine"
    );
    let asked = decider.take();
    assert!(asked.iter().all(|seen| seen.headers["authorization"] == "Bearer secret"));
    assert!(asked.iter().all(|seen| seen.path == "/decide"));
    let review = asked.iter().find(|seen| seen.body["kind"] == "SubjectAccessReview").expect("a review");
    assert_eq!(review.body["spec"]["user"], "hooked");
    assert_eq!(review.body["spec"]["resourceAttributes"]["namespace"], "default");
    // Answers are remembered.
    assert_eq!(server.ask_as(&by, Method::GET, pods, None).await.code, 200);
    assert!(decider.take().is_empty());
    // Whom the condition leaves out is not asked about; a token that nobody knows is nobody's.
    let refused = server.ask_as(&[("authorization", "Bearer usertoken")], Method::GET, pods, None).await;
    assert_eq!(refused.code, 403);
    assert!(decider.take().is_empty());
    let unknown = server.ask_as(&[("authorization", "Bearer nonsense")], Method::GET, pods, None).await;
    assert_eq!(unknown.code, 401);
    // Anonymous requests are for one path.
    assert_eq!(server.ask_as(&[], Method::GET, "/livez", None).await.code, 200);
    assert_eq!(server.ask_as(&[], Method::GET, "/healthz", None).await.code, 401);
}
