//! Several apiservers over one etcd.

use hyper::Method;
use serde_json::json;

use crate::server::{Server, configmap};

/// A server's cache is a moment behind what another has written; no request may be refused because of it.
#[tokio::test]
async fn what_another_server_wrote_is_patched_at_once() {
    let one = Server::start(&[], &[]).await;
    let two = one.beside().await;
    let all = "/api/v1/namespaces/default/configmaps";
    assert_eq!(one.post(all, configmap("shared", json!({}))).await.code, 201);
    let path = format!("{all}/shared");
    // Connections that stand, so that the second server is asked before etcd has told it what the first one wrote.
    let (mut first, mut second) = (one.session().await.unwrap(), two.session().await.unwrap());
    let admin = [("authorization", "Bearer admintoken")];
    for round in 0..200 {
        let round = round.to_string();
        let write = json!({"data": {"round": round}});
        let written = first.ask(&admin, Method::PATCH, &path, Some(write)).await.unwrap();
        assert_eq!(written.code, 200, "{written:?}");
        let patch = json!([{"op": "test", "path": "/data/round", "value": round}, {"op": "add", "path": "/data/seen", "value": round}]);
        let patched = second.ask(&admin, Method::PATCH, &path, Some(patch)).await.unwrap();
        assert_eq!(patched.code, 200, "round {round}: {patched:?}");
    }
}
