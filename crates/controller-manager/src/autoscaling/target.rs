//! The object that is scaled: finding its `scale` subresource, reading and writing it.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::autoscaling::v1::Scale;
use api_types::k8s::api::autoscaling::v2::CrossVersionObjectReference;
use client::discovery::{self, Served};
use client::{Client, Error};
use parking_lot::Mutex;
use serde_json::json;

/// Why a target cannot be scaled; the text is part of conditions and events.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// No such kind is served.
    #[error("no matches for kind {kind:?} in group {group:?}")]
    NoKind { kind: String, group: String },
    /// The server refused.
    #[error("{}", message(.0))]
    Server(Error),
}

/// The server's own words where it has some.
fn message(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// Resources by group and kind. What is not known is looked up; definitions may come at any time.
#[derive(Default)]
pub(super) struct Kinds {
    known: Mutex<HashMap<(String, String), Arc<Served>>>,
}

impl Kinds {
    /// The resource of a reference.
    pub(super) async fn of(
        &self,
        client: &Client,
        reference: &CrossVersionObjectReference,
    ) -> Result<Arc<Served>, Problem> {
        let api_version = reference.api_version.as_deref().unwrap_or_default();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let id = (group.to_owned(), reference.kind.clone());
        if let Some(found) = self.known.lock().get(&id) {
            return Ok(Arc::clone(found));
        }
        let discovered = discovery::discover(client).await.map_err(Problem::Server)?;
        let found = discovered
            .resources
            .into_iter()
            .find(|served| served.resource.group == group && served.resource.kind == reference.kind);
        let found = Arc::new(
            found.ok_or_else(|| Problem::NoKind { kind: reference.kind.clone(), group: group.to_owned() })?,
        );
        self.known.lock().insert(id, Arc::clone(&found));
        Ok(found)
    }
}

/// The path of an object.
pub(super) fn path(served: &Served, namespace: &str, name: &str) -> String {
    let resource = &served.resource;
    let root =
        if resource.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", resource.group) };
    let within = if served.namespaced { format!("/namespaces/{namespace}") } else { String::new() };
    format!("{root}/{}{within}/{}/{name}", resource.version, resource.plural)
}

/// Reads the scale of the object at `path`.
pub(super) async fn scale(client: &Client, path: &str) -> Result<Scale, Problem> {
    let request = http::Request::get(format!("{path}/scale")).body(Vec::new());
    let request = request.map_err(|error| Problem::Server(Error::HttpError(error)))?;
    client.request(request).await.map_err(Problem::Server)
}

/// Sets the replicas of the object at `path`, unless its scale has changed since it was read.
pub(super) async fn rescale(
    client: &Client,
    path: &str,
    scale: &Scale,
    replicas: i32,
) -> Result<(), Problem> {
    let body = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": scale.metadata, "spec": { "replicas": replicas },
    });
    let request = http::Request::put(format!("{path}/scale"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes());
    let request = request.map_err(|error| Problem::Server(Error::HttpError(error)))?;
    client.request::<Scale>(request).await.map(drop).map_err(Problem::Server)
}
