//! Deletes the objects of a definition that is being deleted, and lets it go when the last one has gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use storage::{EventKind, Freshness, Object, Selection, WatchFrom, WatchQuery};

use super::conditions::{self, condition};
use super::controller::{GROUP, PLURAL, status_of};
use super::definition::{CLEANUP, Condition, Definition};
use crate::error::{Error, Result};
use crate::loopback::Target;
use crate::registry::options::DeleteOptions;
use crate::registry::{Endpoint, Request, endpoint, meta};
use crate::server::Server;

/// How long to wait after a failure.
pub const RETRY: Duration = Duration::from_secs(5);

/// Deletes all objects of a definition, waits until they have gone, and takes the finalizer away.
///
/// # Errors
/// Storage cannot be reached, or an object refuses to be deleted; what is left is tried again later.
pub async fn run(server: &Arc<Server>, definition: &Definition) -> Result<()> {
    let name = &definition.metadata.name;
    let begun = condition(
        "Terminating",
        true,
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
    );
    report(server, name, &begun).await?;
    // Names that were never accepted were never served: there is nothing to delete.
    let plural = &definition.spec.names.plural;
    if let Some(endpoint) = server.registry.hub(&definition.spec.group, plural).filter(|e| e.info.is_custom())
        && let Err(error) = delete_all(server, &endpoint).await
    {
        let message = format!("could not delete instances: {error}");
        report(server, name, &condition("Terminating", true, "InstanceDeletionFailed", &message)).await?;
        return Err(error);
    }
    let done = condition("Terminating", false, "InstanceDeletionCompleted", "removed all instances");
    report(server, name, &done).await?;
    release(server, name).await
}

/// Deletes what there is, and waits for finalizers to let it go.
async fn delete_all(server: &Arc<Server>, endpoint: &Arc<Endpoint>) -> Result<()> {
    let from = WatchFrom::State { freshness: Freshness::Latest, end_bookmark: true };
    let query = WatchQuery { selection: Selection::all(), from, bookmarks: false };
    let store = endpoint.store()?;
    let mut watch = store.watch(query).await.map_err(endpoint::storage_error)?;
    let mut present: HashSet<(String, String)> = HashSet::new();
    let mut all_known = false;
    while !(all_known && present.is_empty()) {
        let event = match watch.next().await {
            Some(event) => event.map_err(endpoint::storage_error)?,
            None => return Err(Error::internal("the watch of the objects ended")),
        };
        let object = &event.object;
        let key = || (object.namespace().to_owned(), object.name().to_owned());
        match event.kind {
            EventKind::Bookmark => all_known = true,
            EventKind::Deleted => {
                present.remove(&key());
            }
            _ => {
                if present.insert(key()) {
                    delete_one(server, endpoint, object).await?;
                }
            }
        }
    }
    Ok(())
}

async fn delete_one(server: &Arc<Server>, endpoint: &Arc<Endpoint>, object: &Arc<Object>) -> Result<()> {
    let request = Request::internal(Arc::clone(endpoint), object.namespace(), object.name(), "");
    let deleted =
        server.registry.delete_named(&request, object.name(), &DeleteOptions::default(), Some(object)).await;
    match deleted {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

async fn report(server: &Arc<Server>, name: &str, condition: &Condition) -> Result<()> {
    let now = meta::now();
    let change = |object: &mut serde_json::Value| {
        conditions::set(object, condition, &now);
        Ok(())
    };
    gone_is_fine(server.registry.modify(status_of(name), change).await.map(drop))
}

/// Takes the finalizer away, which removes the definition if it was the last.
async fn release(server: &Arc<Server>, name: &str) -> Result<()> {
    let target = Target { group: GROUP, resource: PLURAL, namespace: "", name, subresource: "" };
    let change = |object: &mut serde_json::Value| {
        let left: Vec<String> =
            meta::finalizers(object).into_iter().filter(|f| *f != CLEANUP).map(str::to_owned).collect();
        meta::set(object, "finalizers", if left.is_empty() { None } else { Some(left.into()) });
        Ok(())
    };
    gone_is_fine(server.registry.modify(target, change).await.map(drop))
}

fn gone_is_fine(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
