//! Shared informers: one list+watch per resource and selection in a process, however many read it.
//!
//! [`Informers`] hands out [`Informer`]s. An informer keeps a [`Store`] that mirrors the server, and tells each
//! [`Subscription`] which keys changed. Nothing is lost: a subscriber that falls behind finds the changes of one key merged
//! (the oldest state it has not seen, and the newest), never dropped.
//!
//! The list is a streaming one (KEP-3157: `sendInitialEvents`); servers that refuse it get paginated lists. A broken
//! watch resumes from the last revision; an expired revision (410) lists again and reports the differences.

mod frames;
mod mirror;
mod reflector;
mod store;
mod subscription;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use kube::{Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use reflector::encode;
pub use store::{IndexFn, Store, by_controller, by_node};
pub use subscription::{Change, Subscription};

/// What an informer can hold: any kube resource that can be decoded.
pub trait Object:
    Resource<DynamicType: Clone + Debug + Eq + Hash + Send + Sync + 'static>
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K
where
    K: Resource + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
}

/// Namespace and name; the namespace is empty for cluster-scoped objects. Orders by namespace first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace, or empty.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A namespaced key.
    pub fn new(namespace: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        Self { namespace: namespace.as_ref().into(), name: name.as_ref().into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl AsRef<str>) -> Self {
        Self::new("", name)
    }

    /// The key of an object that came from the server.
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }

    /// The namespace as kube's API wants it.
    pub fn namespace(&self) -> Option<&str> {
        (!self.namespace.is_empty()).then_some(&*self.namespace)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace() {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which objects of a resource an informer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only objects with these labels.
    pub labels: Option<String>,
    /// Only objects with these fields, for example `spec.nodeName=a`.
    pub fields: Option<String>,
}

impl Scope {
    /// All objects of one namespace.
    pub fn namespace(namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..Self::default() }
    }

    /// All objects that match a field selector.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { fields: Some(selector.into()), ..Self::default() }
    }

    /// All objects that match a label selector.
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { labels: Some(selector.into()), ..Self::default() }
    }
}

/// Hands out the informers of a process. Cheap to clone.
#[derive(Clone)]
pub struct Informers {
    inner: Arc<Registry>,
}

struct Registry {
    client: Client,
    shutdown: CancellationToken,
    transforms: Mutex<HashMap<TypeId, Box<dyn Any + Send + Sync>>>,
    complaints: Arc<reflector::Complaints>,
    running: Mutex<HashMap<(TypeId, String, Scope), Running>>,
}

struct Running {
    informer: Box<dyn Any + Send + Sync>,
    synced: watch::Receiver<bool>,
    resource: String,
    stop: CancellationToken,
}

impl Informers {
    /// Informers that use `client` and end when `shutdown` is cancelled.
    pub fn new(client: Client, shutdown: CancellationToken) -> Self {
        let inner = Registry {
            client,
            shutdown,
            transforms: Mutex::default(),
            complaints: Arc::default(),
            running: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Changes objects of type `K` before they are stored, to drop what nobody here reads. Takes effect for informers made
    /// afterwards; `metadata.managedFields` is always dropped.
    pub fn transform<K: Object>(&self, trim: fn(&mut K)) {
        self.inner.transforms.lock().insert(TypeId::of::<K>(), Box::new(trim));
    }

    /// The informer for all objects of `K`; started by the first call.
    pub fn all<K: Object<DynamicType: Default>>(&self) -> Informer<K> {
        self.select(Scope::default())
    }

    /// The informer for a selection of `K`; started by the first call.
    pub fn select<K: Object<DynamicType: Default>>(&self, scope: Scope) -> Informer<K> {
        self.dynamic(K::DynamicType::default(), scope)
    }

    /// The informer for a resource known at run time only, for example
    /// `dynamic::<PartialObjectMeta<DynamicObject>>(api_resource, Scope::default())`.
    pub fn dynamic<K: Object>(&self, resource: K::DynamicType, scope: Scope) -> Informer<K> {
        let path = K::url_path(&resource, scope.namespace.as_deref());
        let id = (TypeId::of::<K>(), path.clone(), scope.clone());
        let mut running = self.inner.running.lock();
        if let Some(found) =
            running.get(&id).and_then(|running| running.informer.downcast_ref::<Informer<K>>())
        {
            return found.clone();
        }
        let transform = self
            .inner
            .transforms
            .lock()
            .get(&TypeId::of::<K>())
            .and_then(|t| t.downcast_ref::<fn(&mut K)>().copied());
        let stop = self.inner.shutdown.child_token();
        let informer = Informer::<K>::new(resource);
        let source = reflector::Source {
            client: self.inner.client.clone(),
            path: path.clone(),
            scope,
            metadata_only: K::metadata_api(),
            complaints: Arc::clone(&self.inner.complaints),
        };
        let shared = Arc::clone(&informer.inner);
        let mirror = Box::new(mirror::Typed { shared, transform, collected: Vec::new() });
        tokio::spawn(reflector::run(source, mirror, stop.clone()));
        running.insert(
            id,
            Running {
                informer: Box::new(informer.clone()),
                synced: informer.inner.synced.subscribe(),
                resource: path,
                stop,
            },
        );
        informer
    }

    /// Ends the informer for a resource known at run time, for example after its definition was deleted.
    pub fn stop<K: Object>(&self, resource: &K::DynamicType, scope: &Scope) {
        let path = K::url_path(resource, scope.namespace.as_deref());
        if let Some(running) = self.inner.running.lock().remove(&(TypeId::of::<K>(), path, scope.clone())) {
            running.stop.cancel();
        }
    }

    /// Waits until every informer handed out so far has its first full state. `false` when shut down before.
    pub async fn synced(&self) -> bool {
        let waiting: Vec<_> = self.inner.running.lock().values().map(|r| r.synced.clone()).collect();
        for mut synced in waiting {
            let reached = tokio::select! {
                () = self.inner.shutdown.cancelled() => return false,
                reached = synced.wait_for(|synced| *synced) => reached.is_ok(),
            };
            // An informer that was stopped meanwhile holds nobody up.
            if !reached {
                continue;
            }
        }
        true
    }

    /// URL paths of the informers that have not synced yet; for health checks and log lines.
    pub fn unsynced(&self) -> Vec<String> {
        let running = self.inner.running.lock();
        running.values().filter(|r| !*r.synced.borrow()).map(|r| r.resource.clone()).collect()
    }

    /// The client that the informers use.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }
}

/// A mirror of one resource (or a selection of it). Cheap to clone; clones share the mirror.
pub struct Informer<K: Object> {
    inner: Arc<Shared<K>>,
}

impl<K: Object> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

pub(crate) struct Shared<K: Object> {
    resource: K::DynamicType,
    store: Store<K>,
    subscribers: Mutex<Vec<std::sync::Weak<subscription::Pending<K>>>>,
    synced: watch::Sender<bool>,
    revision: watch::Sender<u64>,
}

impl<K: Object> Informer<K> {
    fn new(resource: K::DynamicType) -> Self {
        let inner = Shared {
            resource,
            store: Store::default(),
            subscribers: Mutex::default(),
            synced: watch::Sender::new(false),
            revision: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// An informer that no server feeds; tests fill it with [`Informer::apply`].
    pub fn detached(resource: K::DynamicType) -> Self {
        Self::new(resource)
    }

    /// The mirrored objects.
    pub fn store(&self) -> &Store<K> {
        &self.inner.store
    }

    /// The run-time type of the resource.
    pub fn resource(&self) -> &K::DynamicType {
        &self.inner.resource
    }

    /// Adds an index under `name` (no-op when there is one of that name); see [`Store::by_index`].
    pub fn index(&self, name: &'static str, index: IndexFn<K>) -> &Self {
        self.inner.store.add_index(name, index);
        self
    }

    /// From now on tells of every change; what is in the store already comes first, as additions.
    pub fn subscribe(&self) -> Subscription<K> {
        let pending = Arc::new(subscription::Pending::default());
        // The lock keeps changes out between the snapshot and the registration.
        let mut subscribers = self.inner.subscribers.lock();
        for object in self.inner.store.list() {
            pending.push(Key::of(&*object), None, Some(object));
        }
        subscribers.push(Arc::downgrade(&pending));
        Subscription::new(pending)
    }

    /// Whether the first full state has arrived.
    pub fn has_synced(&self) -> bool {
        *self.inner.synced.borrow()
    }

    /// Waits for the first full state; returns at once afterwards.
    pub async fn synced(&self) {
        // The sender lives in `self`, so the channel cannot close while we wait.
        let _closed = self.inner.synced.subscribe().wait_for(|synced| *synced).await.is_err();
    }

    /// The newest resource version this mirror has reached.
    pub fn revision(&self) -> u64 {
        *self.inner.revision.borrow()
    }

    /// Waits until the mirror has reached a resource version that a write returned.
    pub async fn reached(&self, revision: u64) {
        let _closed = self.inner.revision.subscribe().wait_for(|reached| *reached >= revision).await.is_err();
    }

    /// Changes whenever the mirror moves.
    pub(crate) fn inner_revision(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }

    /// Applies a change by hand: `new` replaces what is stored under `key`, `None` removes it. For tests and for
    /// daemons that feed an informer from something else than the server.
    pub fn apply(&self, key: Key, new: Option<K>) {
        self.inner.apply(key, new.map(Arc::new));
    }

    /// Marks a detached informer as synced.
    pub fn set_synced(&self) {
        self.inner.synced.send_replace(true);
    }
}

impl<K: Object> Shared<K> {
    /// Stores a change and tells the subscribers.
    fn apply(&self, key: Key, new: Option<Arc<K>>) {
        let revision =
            new.as_ref().and_then(|object| object.meta().resource_version.as_deref()?.parse().ok());
        let mut subscribers = self.subscribers.lock();
        let old = self.store.replace(key.clone(), new.clone());
        if old.is_some() || new.is_some() {
            subscribers.retain(|pending| match pending.upgrade() {
                Some(pending) => {
                    pending.push(key.clone(), old.clone(), new.clone());
                    true
                }
                None => false,
            });
        }
        drop(subscribers);
        if let Some(revision) = revision {
            self.advance(revision);
        }
    }

    fn advance(&self, revision: u64) {
        self.revision.send_if_modified(|reached| {
            let newer = revision > *reached;
            *reached = revision.max(*reached);
            newer
        });
    }
}

#[cfg(test)]
mod tests;
