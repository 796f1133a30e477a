//! Keeps in memory what authorization decides by: RBAC objects and what kubelets may see.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use access::authz::{NodeGraph, Replica};
use futures::StreamExt as _;
use storage::{Event, EventKind, Freshness, Selection, WatchFrom, WatchQuery};

use crate::server::Server;

/// The resources that RBAC is made of.
const RBAC: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// All objects, then a bookmark, then every change.
const EVERYTHING: WatchFrom = WatchFrom::State { freshness: Freshness::Any, end_bookmark: true };

/// Starts one task per resource.
pub fn start(server: &Arc<Server>) {
    for resource in RBAC {
        let rbac: Arc<dyn Replica> = server.rbac.clone();
        tokio::spawn(follow(Arc::clone(server), "rbac.authorization.k8s.io", resource, rbac));
    }
    for (group, resource) in NodeGraph::RESOURCES {
        let nodes: Arc<dyn Replica> = server.nodes.clone();
        tokio::spawn(follow(Arc::clone(server), group, resource, nodes));
    }
}

/// Follows a resource for as long as the server runs; begins anew when the watch ends.
async fn follow(server: Arc<Server>, group: &'static str, resource: &'static str, replica: Arc<dyn Replica>) {
    let Some(store) = server.registry.hub(group, resource).and_then(|endpoint| endpoint.store.clone()) else {
        return;
    };
    let mut from = EVERYTHING;
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
                from = EVERYTHING;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                    () = server.shutdown.cancelled() => return,
                }
            }
        };
        // The objects of the initial state come in no order of revisions: it is had whole or not at all.
        let mut state = matches!(from, WatchFrom::State { .. }).then(HashSet::new);
        loop {
            let event = tokio::select! {
                event = watch.next() => event,
                () = server.shutdown.cancelled() => return,
            };
            let Some(Ok(event)) = event else { break };
            if event.kind == EventKind::Bookmark {
                if let Some(present) = state.take() {
                    replica.retain(resource, &present);
                }
            } else {
                take_in(&*replica, resource, &event);
                if let Some(present) = &mut state {
                    present.insert((event.object.namespace().to_owned(), event.object.name().to_owned()));
                }
            }
            if state.is_none() {
                from = WatchFrom::After(event.revision());
            }
        }
    }
}

fn take_in(replica: &dyn Replica, resource: &str, event: &Event) {
    let object = &event.object;
    let (namespace, name) = (object.namespace(), object.name());
    if event.kind == EventKind::Deleted {
        return replica.remove(resource, namespace, name);
    }
    if let Err(error) = replica.upsert(resource, namespace, name, object.json()) {
        tracing::warn!(resource, namespace, name, %error, "unreadable; it grants nothing");
    }
}
