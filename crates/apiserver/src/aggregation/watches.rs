//! Notices changes of a remote's service and endpoints.

use std::collections::HashSet;
use std::sync::Arc;

use access::authz::{ObjectKey, Replica};
use tokio::task::JoinSet;

use super::Remote;
use crate::feeds;
use crate::server::Server;

/// Follows the services and endpoint slices of the remote's namespace until the result is dropped.
pub fn of_service(server: &Arc<Server>, remote: &Arc<Remote>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (group, resource) in [("", "services"), ("discovery.k8s.io", "endpointslices")] {
        let nudge: Arc<dyn Replica> = Arc::new(Nudge(Arc::clone(remote)));
        let namespace = remote.service.0.clone();
        tasks.spawn(feeds::follow_in(Arc::clone(server), group, resource, namespace, nudge));
    }
    tasks
}

/// Nudges the remote when something changes that bears its service's name.
struct Nudge(Arc<Remote>);

impl Nudge {
    fn about(&self, name: &str) {
        // Slices are named after their service.
        if name.starts_with(&self.0.service.1) {
            self.0.nudge.notify_one();
        }
    }
}

impl Replica for Nudge {
    fn upsert(&self, _: &str, _: &str, name: &str, _: &[u8]) -> Result<(), serde_json::Error> {
        self.about(name);
        Ok(())
    }

    fn remove(&self, _: &str, _: &str, name: &str) {
        self.about(name);
    }

    fn retain(&self, _: &str, _: &HashSet<ObjectKey>) {}
}
