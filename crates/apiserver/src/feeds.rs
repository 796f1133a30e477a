//! Keeps in memory what the server decides by: RBAC objects, what kubelets may see, webhooks, definitions of custom
//! resources, priority and fairness.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use access::authz::{NodeGraph, ObjectKey, Replica};
use futures::StreamExt as _;
use storage::{Event, EventKind, Freshness, Selection, WatchFrom, WatchQuery};

use crate::server::Server;

/// The resources that RBAC is made of.
const RBAC: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// The resources that priority and fairness goes by.
const FLOW_CONTROL: [&str; 2] = ["prioritylevelconfigurations", "flowschemas"];

/// All objects, then a bookmark, then every change.
const EVERYTHING: WatchFrom = WatchFrom::State { freshness: Freshness::Any, end_bookmark: true };

/// Takes in the objects of a resource: first all of them, ended by [`Follower::retain`], then each change.
pub trait Follower: Send + Sync + 'static {
    /// An object was added, changed or deleted.
    fn take_in(&self, resource: &str, event: &Event);

    /// These are all the objects that there are; others were deleted while nobody watched.
    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>);
}

/// What authorizers keep in memory.
struct Replicated(Arc<dyn Replica>);

impl Follower for Replicated {
    fn take_in(&self, resource: &str, event: &Event) {
        let object = &event.object;
        let (namespace, name) = (object.namespace(), object.name());
        if event.kind == EventKind::Deleted {
            return self.0.remove(resource, namespace, name);
        }
        if let Err(error) = self.0.upsert(resource, namespace, name, object.json()) {
            tracing::warn!(resource, namespace, name, %error, "unreadable; it is as if it were not there");
        }
    }

    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>) {
        self.0.retain(resource, present);
    }
}

/// Starts one task per resource.
pub fn start(server: &Arc<Server>) {
    for resource in RBAC {
        let rbac = Arc::new(Replicated(server.rbac.clone()));
        tokio::spawn(follow(Arc::clone(server), "rbac.authorization.k8s.io", resource, rbac));
    }
    for index in [&server.webhooks.mutating, &server.webhooks.validating] {
        let hooks = Arc::new(Replicated(index.clone()));
        tokio::spawn(follow(Arc::clone(server), "admissionregistration.k8s.io", index.resource(), hooks));
    }
    let services = Arc::new(Replicated(server.aggregator.clone()));
    tokio::spawn(follow(Arc::clone(server), "apiregistration.k8s.io", "apiservices", services));
    for index in [&server.policies.mutating, &server.policies.validating] {
        for resource in index.resources() {
            let replica = Arc::new(Replicated(index.clone()));
            tokio::spawn(follow(Arc::clone(server), "admissionregistration.k8s.io", resource, replica));
        }
    }
    if let Some(flow_control) = &server.flow_control {
        for resource in FLOW_CONTROL {
            let replica = Arc::new(Replicated(flow_control.clone()));
            tokio::spawn(follow(Arc::clone(server), "flowcontrol.apiserver.k8s.io", resource, replica));
        }
    }
    for (group, resource) in NodeGraph::RESOURCES {
        let nodes = Arc::new(Replicated(server.nodes.clone()));
        tokio::spawn(follow(Arc::clone(server), group, resource, nodes));
    }
}

/// Follows a resource for as long as the server runs; begins anew when the watch ends.
pub async fn follow(
    server: Arc<Server>,
    group: &'static str,
    resource: &'static str,
    follower: Arc<dyn Follower>,
) {
    follow_selected(server, group, resource, Selection::all(), follower).await;
}

/// Follows a resource in one namespace for as long as the result is polled.
pub async fn follow_in(
    server: Arc<Server>,
    group: &'static str,
    resource: &'static str,
    namespace: String,
    replica: Arc<dyn Replica>,
) {
    let selection = Selection::all().namespace(&namespace);
    follow_selected(server, group, resource, selection, Arc::new(Replicated(replica))).await;
}

async fn follow_selected(
    server: Arc<Server>,
    group: &'static str,
    resource: &'static str,
    selection: Selection,
    follower: Arc<dyn Follower>,
) {
    let Some(store) =
        server.registry.hub(group, resource).and_then(|endpoint| endpoint.store().ok().cloned())
    else {
        return;
    };
    let mut from = EVERYTHING;
    loop {
        let query = WatchQuery { selection: selection.clone(), from, bookmarks: false };
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
                    follower.retain(resource, &present);
                }
            } else {
                follower.take_in(resource, &event);
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
