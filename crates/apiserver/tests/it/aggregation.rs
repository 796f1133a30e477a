//! A toy aggregated API server behind the real one.

use std::sync::Arc;

use base64::Engine as _;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::hook_server::{HookServer, Seen};
use crate::server::Server;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// A server of `toys.example.com/v1` that knows no aggregated discovery.
fn toys(seen: &Seen) -> (u16, Value) {
    let path = seen.path.split('?').next().unwrap_or_default();
    match path {
        "/apis/toys.example.com/v1" => (
            200,
            json!({"kind": "APIResourceList", "groupVersion": "toys.example.com/v1", "resources": [
                {"name": "bears", "singularName": "bear", "namespaced": true, "kind": "Bear", "verbs": ["get", "list"]},
            ]}),
        ),
        "/openapi/v3" => (
            200,
            json!({"paths": {"apis/toys.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/toys.example.com/v1?hash=1"}}}),
        ),
        "/openapi/v3/apis/toys.example.com/v1" => (200, json!({"openapi": "3.0.0"})),
        "/apis/toys.example.com/v1/namespaces/default/bears/ted" => {
            (200, json!({"kind": "Bear", "metadata": {"name": "ted"}}))
        }
        _ => (404, json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})),
    }
}

async fn register(server: &Server, port: u16) {
    // The service is this host: an ExternalName leads there without kube-proxy.
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "toys"},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    assert_eq!(server.post("/api/v1/namespaces/default/services", service).await.code, 201);
    let bundle = base64::engine::general_purpose::STANDARD.encode(server.authority().pem());
    let made = server
        .post(
            SERVICES,
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": "v1.toys.example.com"},
                "spec": {
                    "group": "toys.example.com", "version": "v1", "caBundle": bundle,
                    "groupPriorityMinimum": 2000, "versionPriority": 10,
                    "service": {"namespace": "default", "name": "toys", "port": port},
                },
            }),
        )
        .await;
    assert_eq!(made.code, 201, "{}", made.message());
}

/// Watches arrive event by event, and connections can be upgraded.
async fn streams_pass(server: &Server) {
    let bears = "/apis/toys.example.com/v1/namespaces/default/bears";
    for (path, upgrade) in [(format!("{bears}?watch=1"), false), (format!("{bears}/ted/echo"), true)] {
        let mut stream = server.connect().await.expect("a connection");
        let more = if upgrade { "Connection: Upgrade\r\nUpgrade: echo\r\n" } else { "" };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer admintoken\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let (mut seen, mut sent) = (Vec::new(), false);
        let wanted = if upgrade { "hello" } else { "ADDED" };
        let reading = async {
            while !String::from_utf8_lossy(&seen).contains(wanted) {
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer).await.expect("read");
                assert!(count > 0, "ended after {}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&buffer[..count]);
                if upgrade && !sent && seen.ends_with(b"\r\n\r\n") {
                    assert!(seen.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&seen));
                    stream.write_all(b"hello").await.expect("sent");
                    sent = true;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect(wanted);
    }
}

fn reason(object: &Value) -> &str {
    object["status"]["conditions"][0]["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn another_servers_group_is_served_as_our_own() {
    let flags = [
        "--proxy-client-cert-file={}/front-proxy-client.crt",
        "--proxy-client-key-file={}/front-proxy-client.key",
        "--requestheader-client-ca-file={}/ca.crt",
    ];
    let server = Server::start(&flags, &[]).await;
    let remote = HookServer::start(server.authority(), &["toys.default.svc"], Arc::new(toys)).await;
    register(&server, remote.port).await;
    let path = format!("{SERVICES}/v1.toys.example.com");
    let object = server.until(&path, |answer| reason(&answer.body) == "Passed").await.body;
    assert_eq!(object["status"]["conditions"][0]["message"], "all checks passed");
    server.until("/apis/toys.example.com/v1", |answer| answer.code == 200).await;

    remote.take();
    let bears = "/apis/toys.example.com/v1/namespaces/default/bears/ted";
    let headers = [
        ("authorization", "Bearer admintoken"),
        ("x-remote-user", "mallory"),
        ("impersonate-user", "root"),
        ("impersonate-group", "system:masters"),
    ];
    let bear = server.ask_as(&headers, Method::GET, &format!("{bears}?pretty=1"), None).await;
    assert_eq!((bear.code, &bear.body["kind"]), (200, &json!("Bear")));
    let seen = remote.take();
    let seen = seen.iter().find(|seen| seen.path.contains("bears")).expect("the request");
    assert_eq!(seen.path, format!("{bears}?pretty=1"));
    let users: Vec<_> = seen.headers.get_all("x-remote-user").iter().collect();
    assert_eq!(users, ["root"]);
    assert!(seen.headers.get_all("x-remote-group").iter().any(|group| group == "system:masters"));
    assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("impersonate-user"));
    // Whoever may not ask us does not get through to the other server.
    let refused = server.ask_as(&[("authorization", "Bearer usertoken")], Method::GET, bears, None).await;
    assert_eq!(refused.code, 403, "{}", refused.message());

    streams_pass(&server).await;

    let groups = server.get("/apis").await.body;
    let mut groups = groups["groups"].as_array().expect("groups").iter();
    let group = groups.find(|group| group["name"] == "toys.example.com").expect("the group");
    assert_eq!(group["preferredVersion"]["groupVersion"], "toys.example.com/v1");
    assert_eq!(server.get("/apis/toys.example.com").await.body["kind"], "APIGroup");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let admin = [("authorization", "Bearer admintoken"), ("accept", accept)];
    let mut fresh = Value::Null;
    for _ in 0..500 {
        let document = server.ask_as(&admin, Method::GET, "/apis", None).await.body;
        let mut items = document["items"].as_array().expect("items").iter();
        let item = items.find(|item| item["metadata"]["name"] == "toys.example.com").expect("the group");
        fresh = item["versions"][0].clone();
        if fresh["freshness"] == "Current" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(fresh["resources"][0]["resource"], "bears", "{fresh}");
    server.until("/openapi/v3", |answer| answer.body.to_string().contains("apis/toys.example.com/v1")).await;
    let document = server.get("/openapi/v3/apis/toys.example.com/v1").await;
    assert_eq!((document.code, &document.body["openapi"]), (200, &json!("3.0.0")));

    // The service goes: so does the group, with a reason.
    let service = "/api/v1/namespaces/default/services/toys";
    assert_eq!(server.ask(Method::DELETE, service, None).await.code, 200);
    server.until(&path, |answer| reason(&answer.body) == "ServiceNotFound").await;
    let gone = server.until(bears, |answer| answer.code == 503).await;
    assert_eq!(gone.body, "service unavailable\n");
    // Groups of custom resources come and go with their definitions.
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "cars.custom.example.com"},
        "spec": {
            "group": "custom.example.com", "scope": "Namespaced",
            "names": {"plural": "cars", "singular": "car", "kind": "Car", "listKind": "CarList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(server.post(definitions, definition).await.code, 201);
    let custom = format!("{SERVICES}/v1.custom.example.com");
    server.until(&custom, |answer| reason(&answer.body) == "Local").await;
    let gone = server.ask(Method::DELETE, &format!("{definitions}/cars.custom.example.com"), None).await;
    assert_eq!(gone.code, 200);
    server.until(&custom, |answer| answer.code == 404).await;
    // Our own groups are there as well.
    let own = server.get(&format!("{SERVICES}/v1.apps")).await.body;
    assert_eq!(reason(&own), "Local");
}
