//! The generic registry: one set of operations for every resource, built in or custom.
//!
//! ```text
//!  create ─► decode ─► defaults ─► managed fields ─► admission ─► prepare ─► validate ─► admission ─► reserve ─► store
//!  update ─► read cache ─► (the same, against the stored object) ─► compare-and-swap ─► retry on conflict
//!  get, list, watch ─► bytes of the cache, spliced
//! ```
//!
//! A resource is a row ([`ResourceInfo`]) and a [`Strategy`]; together with its store they are an [`Endpoint`].

pub mod body;
mod create;
mod delete;
pub mod endpoint;
mod internal;
pub mod managed;
pub mod meta;
pub mod options;
mod patch;
mod pipeline;
mod read;
pub mod request;
pub mod selection;
pub mod strategies;
pub mod strategy;
pub mod update;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use access::authz::Authorizer;
use api_types::resource::ResourceInfo;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use storage::{Freshness, Store};

pub use endpoint::Endpoint;
pub use request::{Item, Outcome, Request};
pub use strategy::Strategy;

use crate::admission;
use crate::allocation::Allocators;
use crate::error::{Error, Result};

/// Group, version and plural name.
type Key = (String, String, String);

/// All served resources.
pub struct Registry {
    store: Store,
    endpoints: ArcSwap<HashMap<Key, Arc<Endpoint>>>,
    /// Serialises changes of `endpoints`.
    changing: Mutex<()>,
    admission: ArcSwap<admission::Chain>,
    allocators: Allocators,
    authorizer: Arc<Authorizer>,
    settings: Settings,
    this: Weak<Registry>,
}

/// What the registry takes from the command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long events live.
    pub event_ttl: std::time::Duration,
    /// Whether orphan and foreground deletion add finalizers for the garbage collector.
    pub garbage_collector: bool,
    /// A watch without timeout ends after this many seconds to twice as many.
    pub min_watch_secs: u64,
}

impl Registry {
    /// A registry without resources.
    pub fn new(
        store: Store,
        allocators: Allocators,
        authorizer: Arc<Authorizer>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Registry {
            store,
            endpoints: ArcSwap::default(),
            changing: Mutex::new(()),
            admission: ArcSwap::default(),
            allocators,
            authorizer,
            settings,
            this: Weak::clone(this),
        })
    }

    /// What gives out cluster IPs and node ports.
    pub fn allocators(&self) -> &Allocators {
        &self.allocators
    }

    /// Shared ownership of the registry, for work that outlives a request.
    ///
    /// # Errors
    /// The server is being dropped.
    pub fn shared(&self) -> Result<Arc<Registry>> {
        self.this.upgrade().ok_or_else(|| Error::internal("the server is stopping"))
    }

    /// Serves a resource; a row with the same group, version and plural is replaced.
    ///
    /// # Errors
    /// The storage refuses the resource's configuration.
    pub fn add(&self, info: Arc<ResourceInfo>) -> Result<Arc<Endpoint>> {
        let endpoint = Arc::new(Endpoint::new(info, &self.store, &self.settings)?);
        let _changing = self.changing.lock();
        let mut endpoints = HashMap::clone(&self.endpoints.load());
        endpoints.insert(key(&endpoint.info), Arc::clone(&endpoint));
        self.endpoints.store(Arc::new(endpoints));
        Ok(endpoint)
    }

    /// Stops serving a resource. Its storage stays.
    pub fn remove(&self, group: &str, version: &str, plural: &str) {
        let _changing = self.changing.lock();
        let mut endpoints = HashMap::clone(&self.endpoints.load());
        endpoints.remove(&(group.to_owned(), version.to_owned(), plural.to_owned()));
        self.endpoints.store(Arc::new(endpoints));
    }

    /// The endpoint of a served resource.
    pub fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Endpoint>> {
        self.endpoints.load().get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// The endpoint that holds a resource in its stored version.
    pub fn hub(&self, group: &str, plural: &str) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.load();
        let mut all = endpoints.values().filter(|e| e.info.group == group && e.info.plural == plural);
        let first = all.next()?;
        let hub = [first].into_iter().chain(all).find(|e| !e.converts());
        Some(Arc::clone(hub.unwrap_or(first)))
    }

    /// All endpoints, in no order.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.load().values().cloned().collect()
    }

    /// Sets the admission plug-ins.
    pub fn set_admission(&self, chain: admission::Chain) {
        self.admission.store(Arc::new(chain));
    }

    /// The storage below.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

fn key(info: &ResourceInfo) -> Key {
    (info.group.to_string(), info.version.to_string(), info.plural.to_string())
}

#[async_trait]
impl admission::Reader for Registry {
    async fn get(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        fresh: bool,
    ) -> Result<Option<Bytes>> {
        let Some(store) = self.hub(group, resource).and_then(|e| e.store.clone()) else { return Ok(None) };
        let freshness = if fresh { Freshness::Latest } else { Freshness::Any };
        let object = store.get(namespace, name, freshness).await.map_err(endpoint::storage_error)?;
        Ok(object.map(|object| object.json().clone()))
    }

    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Result<Vec<Bytes>> {
        let Some(store) = self.hub(group, resource).and_then(|e| e.store.clone()) else {
            return Ok(Vec::new());
        };
        let query = storage::ListQuery {
            selection: storage::Selection::all().namespace(namespace),
            at: storage::ListAt::Fresh(Freshness::Any),
            ..storage::ListQuery::default()
        };
        let page = store.list(&query).await.map_err(endpoint::storage_error)?;
        Ok(page.items.iter().map(|object| object.json().clone()).collect())
    }
}

#[async_trait]
impl access::Lookup for Registry {
    async fn get(&self, object: access::ObjectRef<'_>) -> Option<Bytes> {
        let access::ObjectRef { group, resource, namespace, name } = object;
        // A hit may be a moment old; a miss is confirmed.
        for fresh in [false, true] {
            match admission::Reader::get(self, group, resource, namespace, name, fresh).await {
                Ok(Some(bytes)) => return Some(bytes),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, resource, namespace, name, "looking up an object"),
            }
        }
        None
    }
}
