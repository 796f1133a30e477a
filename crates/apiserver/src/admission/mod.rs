//! Admission: what may change or refuse a request between decoding and storage.
//!
//! A [`Plugin`] sees a [`Request`] twice: first to change its object, then, after defaulting and validation, to refuse
//! it. The [`Chain`] runs the plugins in upstream's order; every mutation is finished before the first validation.
//!
//! Plugins know neither HTTP nor storage: they read other objects through a [`Reader`].

mod metrics;
mod notes;
pub mod plugins;
pub mod policy;
mod reinvocation;
pub mod scene;
pub mod webhook;

use std::sync::Arc;
use std::time::Instant;

use access::UserInfo;
use api_types::resource::ResourceInfo;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

pub use self::metrics::Step;
use self::metrics::Timers;
pub use self::notes::{Annotations, Warnings};
pub use self::reinvocation::{Reinvocation, Round};
use crate::error::Error;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or a create-only subresource (binding, eviction, token).
    Create,
    /// A full update or a patch of an existing object or of one of its subresources.
    Update,
    /// A deletion; [`Request::old_object`] is the object to be deleted and [`Request::object`] is `None`.
    Delete,
    /// A stream to the object: exec, attach, portforward, proxy.
    Connect,
}

/// One request on its way through admission.
pub struct Request<'a> {
    /// What is being done.
    pub operation: Operation,
    /// The resource that the request names.
    pub resource: &'a Arc<ResourceInfo>,
    /// The subresource, or "" for the object itself.
    pub subresource: &'a str,
    /// The namespace in the request's path, "" for cluster-scoped resources.
    pub namespace: &'a str,
    /// The object's name; empty at creation with a generateName that is not resolved yet.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a UserInfo,
    /// Whether the request must have no lasting effect.
    pub dry_run: bool,
    /// The request's CreateOptions, UpdateOptions, PatchOptions or DeleteOptions as JSON.
    pub options: &'a Value,
    /// The object as it would be stored, without `kind` and `apiVersion`; plugins change it in `mutate`.
    pub object: Option<Value>,
    /// The stored object, for updates and deletions.
    pub old_object: Option<&'a Value>,
    /// Texts for the response's Warning headers.
    pub warnings: Warnings,
    /// What is to be remembered of the decision, for the audit log.
    pub annotations: Annotations,
    /// Whether the chain runs again because a webhook or a policy has changed the object.
    pub reinvocation: Reinvocation,
}

impl<'a> Request<'a> {
    /// A request to create an object, to be completed by the caller.
    pub fn new(
        operation: Operation,
        resource: &'a Arc<ResourceInfo>,
        user: &'a UserInfo,
        options: &'a Value,
    ) -> Self {
        Request {
            operation,
            resource,
            subresource: "",
            namespace: "",
            name: "",
            user,
            dry_run: false,
            options,
            object: None,
            old_object: None,
            warnings: Warnings::default(),
            annotations: Annotations::default(),
            reinvocation: Reinvocation::default(),
        }
    }

    /// Group, version and kind of the object: the resource's own, or those of a subresource that is another kind.
    pub fn kind(&self) -> [&str; 3] {
        kind_of(self.resource, self.subresource)
    }

    /// Whether the request is about `resource` in `group`, with no subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.is_any(group, resource)
    }

    /// Whether the request is about `resource` in `group` or one of its subresources.
    pub fn is_any(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group && self.resource.plural == resource
    }
}

/// Group, version and kind of what a resource or one of its subresources takes.
pub fn kind_of<'a>(row: &'a ResourceInfo, subresource: &str) -> [&'a str; 3] {
    match row.subresource(subresource) {
        Some(sub) if !subresource.is_empty() => [&sub.group, &sub.version, &sub.kind],
        _ => [&row.group, &row.version, &row.kind],
    }
}

/// One admission plug-in, named as upstream names it.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Upstream's name, as in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// Whether the plug-in wants to see requests of this kind at all.
    fn handles(&self, operation: Operation) -> bool;

    /// Changes `request.object`, or refuses the request.
    ///
    /// # Errors
    /// The refusal that the client will read.
    async fn mutate(&self, _request: &mut Request<'_>, _reader: &dyn Reader) -> Result<(), Error> {
        Ok(())
    }

    /// Refuses the request, or lets it pass.
    ///
    /// # Errors
    /// The refusal that the client will read.
    async fn validate(&self, _request: &Request<'_>, _reader: &dyn Reader) -> Result<(), Error> {
        Ok(())
    }
}

/// Objects as the server's cache holds them, for plugins and authorizers.
///
/// Bytes are canonical JSON without `kind` and `apiVersion`.
#[async_trait]
pub trait Reader: Send + Sync {
    /// One object, or `None`; `namespace` is "" for cluster-scoped resources. With `fresh` the answer is at least as
    /// new as every write acknowledged before the call; without, it is what the cache holds, which costs nothing.
    ///
    /// # Errors
    /// Storage cannot be reached.
    async fn get(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        fresh: bool,
    ) -> Result<Option<Bytes>, Error>;

    /// All objects of a resource in a namespace ("" for all namespaces), as the cache holds them.
    ///
    /// # Errors
    /// Storage cannot be reached.
    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Result<Vec<Bytes>, Error>;
}

/// The versions in which resources are served, for rules that match a resource in whatever version it comes.
#[async_trait]
pub trait Versions: Send + Sync {
    /// The rows under which the objects of `row` are served as well, in other versions or groups.
    fn equivalents(&self, row: &ResourceInfo) -> Vec<Arc<ResourceInfo>>;

    /// An object of `from` in the version of `to`, both without `kind` and `apiVersion`.
    ///
    /// # Errors
    /// The object cannot be converted.
    async fn convert(&self, from: &ResourceInfo, to: &ResourceInfo, object: &Value) -> Result<Value, Error>;

    /// The row of a kind in a version, if it is served.
    fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<ResourceInfo>>;

    /// An object of `row` in its version, with `kind` and `apiVersion`, as the cache holds it.
    ///
    /// # Errors
    /// Storage cannot be reached; the object cannot be converted.
    async fn get(&self, row: &ResourceInfo, namespace: &str, name: &str) -> Result<Option<Value>, Error>;

    /// All objects of `row` in a namespace ("" for all) likewise.
    ///
    /// # Errors
    /// As for `get`.
    async fn list(&self, row: &ResourceInfo, namespace: &str) -> Result<Vec<Value>, Error>;
}

/// The enabled plugins, in the order in which they run.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Vec<(Arc<dyn Plugin>, Timers)>,
}

impl Chain {
    /// A chain that runs `plugins` in the order given.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        let timed = plugins.into_iter().map(|plugin| {
            let timers = Timers::new(plugin.name());
            (plugin, timers)
        });
        Chain { plugins: timed.collect() }
    }

    /// Lets every interested plug-in change the object; once more when one asks for it.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let began = Instant::now();
        let mut result = self.mutate_once(request, reader).await;
        if result.is_ok() && request.reinvocation.begin_again() {
            result = self.mutate_once(request, reader).await;
        }
        metrics::observe_step(request.operation, Step::Admit, result.is_err(), began.elapsed());
        result
    }

    async fn mutate_once(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let operation = request.operation;
        let mut result = Ok(());
        for (plugin, timers) in self.plugins.iter().filter(|(plugin, _)| plugin.handles(operation)) {
            let turn = Instant::now();
            result = plugin.mutate(request, reader).await;
            timers.observe(operation, Step::Admit, result.is_err(), turn.elapsed());
            if result.is_err() {
                break;
            }
        }
        result
    }

    /// Asks every interested plug-in whether the request may pass.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let operation = request.operation;
        let began = Instant::now();
        let mut result = Ok(());
        for (plugin, timers) in self.plugins.iter().filter(|(plugin, _)| plugin.handles(operation)) {
            let turn = Instant::now();
            result = plugin.validate(request, reader).await;
            timers.observe(operation, Step::Validate, result.is_err(), turn.elapsed());
            if result.is_err() {
                break;
            }
        }
        metrics::observe_step(operation, Step::Validate, result.is_err(), began.elapsed());
        result
    }
}
