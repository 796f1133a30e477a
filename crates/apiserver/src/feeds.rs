//! Keeps in memory what authorization decides by: RBAC objects and what kubelets may see.

use std::sync::Arc;
use std::time::Duration;

use access::authz::NodeGraph;
use futures::StreamExt as _;
use storage::{EventKind, Freshness, Object, Selection, WatchFrom, WatchQuery};

use crate::server::Server;

/// The resources that RBAC is made of.
const RBAC: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// Starts one task per resource.
pub fn start(server: &Arc<Server>) {
    for resource in RBAC {
        let rbac = Arc::clone(&server.rbac);
        let sink = move |object: &Object, gone: bool| match gone {
            true => {
                rbac.remove(resource, object.namespace(), object.name());
                Ok(())
            }
            false => rbac.upsert(resource, object.namespace(), object.name(), object.json()),
        };
        tokio::spawn(follow(Arc::clone(server), "rbac.authorization.k8s.io", resource, sink));
    }
    for (group, resource) in NodeGraph::RESOURCES {
        let nodes = Arc::clone(&server.nodes);
        let sink = move |object: &Object, gone: bool| match gone {
            true => {
                nodes.remove(resource, object.namespace(), object.name());
                Ok(())
            }
            false => nodes.upsert(resource, object.namespace(), object.name(), object.json()),
        };
        tokio::spawn(follow(Arc::clone(server), group, resource, sink));
    }
}

/// Follows a resource for as long as the server runs; begins anew when the watch ends.
async fn follow(
    server: Arc<Server>,
    group: &'static str,
    resource: &'static str,
    sink: impl Fn(&Object, bool) -> Result<(), serde_json::Error> + Send,
) {
    let Some(store) = server.registry.hub(group, resource).and_then(|endpoint| endpoint.store.clone()) else {
        return;
    };
    let mut from = WatchFrom::State { freshness: Freshness::Any, end_bookmark: false };
    loop {
        let query = WatchQuery { selection: Selection::all(), from, bookmarks: false };
        let mut watch = match store.watch(query).await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!(
                    resource,
                    error = &error as &dyn std::error::Error,
                    "cannot follow; trying again"
                );
                from = WatchFrom::State { freshness: Freshness::Any, end_bookmark: false };
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                    () = server.shutdown.cancelled() => return,
                }
            }
        };
        loop {
            let event = tokio::select! {
                event = watch.next() => event,
                () = server.shutdown.cancelled() => return,
            };
            let Some(Ok(event)) = event else { break };
            from = WatchFrom::After(event.revision());
            let object = &event.object;
            if let Err(error) = sink(object, event.kind == EventKind::Deleted) {
                tracing::warn!(resource, namespace = object.namespace(), name = object.name(), %error, "unreadable");
            }
        }
    }
}
