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
mod turns;
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
use turns::Turns;

use crate::admission;
use crate::allocation::Allocators;
use crate::error::{Error, Result};
use crate::stores::Stores;

/// Endpoints by plural name, so that a lookup copies nothing.
type Table = HashMap<Box<str>, Vec<Arc<Endpoint>>>;

/// What is served of one custom resource from now on.
pub struct CustomChange {
    /// API group.
    pub group: Box<str>,
    /// Plural name.
    pub plural: Box<str>,
    /// The served versions, each with the row of the stored version; none to end serving it.
    pub versions: Vec<(Arc<ResourceInfo>, Arc<ResourceInfo>)>,
    /// What converts between them, when they differ in more than the name.
    pub webhook: Option<Arc<dyn endpoint::Convert>>,
}

/// All served resources.
pub struct Registry {
    stores: Stores,
    endpoints: ArcSwap<Table>,
    /// Serialises changes of `endpoints`.
    changing: Mutex<()>,
    admission: ArcSwap<admission::Chain>,
    allocators: Allocators,
    authorizer: Arc<Authorizer>,
    turns: Turns,
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
    /// Whether containers may be privileged.
    pub allow_privileged: bool,
    /// A watch without timeout ends after this many seconds to twice as many.
    pub min_watch_secs: u64,
}

impl Registry {
    /// A registry without resources.
    pub fn new(
        stores: Stores,
        allocators: Allocators,
        authorizer: Arc<Authorizer>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Registry {
            stores,
            endpoints: ArcSwap::default(),
            changing: Mutex::new(()),
            admission: ArcSwap::default(),
            allocators,
            authorizer,
            turns: Turns::default(),
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
        let store = self.stores.of(&info);
        let endpoint = Arc::new(Endpoint::new(Arc::clone(&info), store, &self.settings)?);
        let _changing = self.changing.lock();
        let mut table = Table::clone(&self.endpoints.load());
        let row = table.entry((*endpoint.info.plural).into()).or_default();
        row.retain(|known| {
            known.info.group != endpoint.info.group || known.info.version != endpoint.info.version
        });
        row.push(Arc::clone(&endpoint));
        self.endpoints.store(Arc::new(table));
        Ok(endpoint)
    }

    /// Serves custom resources in other versions than before, in one step however many there are. The stores of what was
    /// served are closed: their watches end, and clients begin anew with the new rows.
    pub fn replace_custom(&self, changes: Vec<CustomChange>) {
        let _changing = self.changing.lock();
        let mut table = Table::clone(&self.endpoints.load());
        for CustomChange { group, plural, versions, webhook } in changes {
            let row = table.entry(plural).or_default();
            row.retain(|endpoint| {
                let stays = *endpoint.info.group != *group || !endpoint.info.is_custom();
                if !stays {
                    endpoint.retire();
                }
                stays
            });
            row.extend(versions.into_iter().map(|(info, hub)| {
                Arc::new(Endpoint::custom(info, hub, webhook.clone(), self.stores.main(), &self.settings))
            }));
        }
        table.retain(|_, row| !row.is_empty());
        self.endpoints.store(Arc::new(table));
    }

    /// The endpoint of a served resource.
    pub fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Endpoint>> {
        let table = self.endpoints.load();
        let mut row = table.get(plural)?.iter();
        row.find(|endpoint| endpoint.info.group == group && endpoint.info.version == version).cloned()
    }

    /// The endpoint that holds a resource in its stored version, or any if that version is not served.
    pub fn hub(&self, group: &str, plural: &str) -> Option<Arc<Endpoint>> {
        let table = self.endpoints.load();
        let row = table.get(plural)?;
        let of_group = || row.iter().filter(|endpoint| endpoint.info.group == group);
        of_group().find(|endpoint| endpoint.is_hub()).or_else(|| of_group().next()).cloned()
    }

    /// All endpoints, in no order.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.load().values().flatten().cloned().collect()
    }

    /// Sets the admission plug-ins.
    pub fn set_admission(&self, chain: admission::Chain) {
        self.admission.store(Arc::new(chain));
    }

    /// The storage below.
    pub fn store(&self) -> &Store {
        self.stores.main()
    }

    /// The etcd clusters that keep single resources.
    pub fn other_stores(&self) -> Vec<Store> {
        self.stores.overrides()
    }
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
        let Some(store) = self.hub(group, resource).and_then(|e| e.store().ok().cloned()) else {
            return Ok(None);
        };
        let freshness = if fresh { Freshness::Latest } else { Freshness::Any };
        let object = store.get(namespace, name, freshness).await.map_err(endpoint::storage_error)?;
        Ok(object.map(|object| object.json().clone()))
    }

    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Result<Vec<Bytes>> {
        let Some(store) = self.hub(group, resource).and_then(|e| e.store().ok().cloned()) else {
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
impl admission::Versions for Registry {
    fn equivalents(&self, row: &ResourceInfo) -> Vec<Arc<ResourceInfo>> {
        let table = self.endpoints.load();
        let same = |other: &ResourceInfo| {
            other.key_prefix == row.key_prefix && (&other.group, &other.version) != (&row.group, &row.version)
        };
        let rows = table.get(&*row.plural).into_iter().flatten().map(|endpoint| &endpoint.info);
        rows.filter(|other| !row.key_prefix.is_empty() && same(other)).cloned().collect()
    }

    async fn convert(
        &self,
        from: &ResourceInfo,
        to: &ResourceInfo,
        object: &serde_json::Value,
    ) -> Result<serde_json::Value> {
        let endpoint = |row: &ResourceInfo| {
            self.endpoint(&row.group, &row.version, &row.plural).ok_or_else(Error::path_not_found)
        };
        let (from, to) = (endpoint(from)?, endpoint(to)?);
        to.read_hub(from.store_form(object).await?.into_owned()).await
    }

    fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<ResourceInfo>> {
        let table = self.endpoints.load();
        let mut rows = table.values().flatten().map(|endpoint| &endpoint.info);
        rows.find(|row| row.group == group && row.version == version && row.kind == kind).cloned()
    }

    async fn get(
        &self,
        row: &ResourceInfo,
        namespace: &str,
        name: &str,
    ) -> Result<Option<serde_json::Value>> {
        let endpoint =
            self.endpoint(&row.group, &row.version, &row.plural).ok_or_else(Error::path_not_found)?;
        let found = endpoint.store()?.get(namespace, name, Freshness::Any).await;
        found.map_err(endpoint::storage_error)?.map(|object| whole(&endpoint, &object)).transpose()
    }

    async fn list(&self, row: &ResourceInfo, namespace: &str) -> Result<Vec<serde_json::Value>> {
        let endpoint =
            self.endpoint(&row.group, &row.version, &row.plural).ok_or_else(Error::path_not_found)?;
        let query = storage::ListQuery {
            selection: storage::Selection::all().namespace(namespace),
            at: storage::ListAt::Fresh(Freshness::Any),
            ..storage::ListQuery::default()
        };
        let page = endpoint.store()?.list(&query).await.map_err(endpoint::storage_error)?;
        page.items.iter().map(|object| whole(&endpoint, object)).collect()
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

/// A stored object in the served version, with `kind` and `apiVersion`.
fn whole(endpoint: &Endpoint, object: &storage::Object) -> Result<serde_json::Value> {
    let value = endpoint.value(object)?;
    Ok(crate::http::respond::of_kind(&endpoint.info.api_version(), &endpoint.info.kind, value))
}
