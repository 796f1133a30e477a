//! What the store, its resources and its background tasks share.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use etcd_client::KeyValue;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::cache::{Cache, HistoryLimits};
use crate::codec::{self, Key, Prepared};
use crate::config::ResourceConfig;
use crate::error::{Error, Result};
use crate::etcd::{Call, Etcd};
use crate::intern::Interner;
use crate::lease::Leases;
use crate::metrics::ResourceMetrics;
use crate::object::Object;
use crate::options::Options;
use crate::progress::{Progress, RevisionReader};

/// The one state behind all clones of a store.
pub(crate) struct Shared {
    pub options: Options,
    pub etcd: Etcd,
    pub interner: Interner,
    pub progress: Progress,
    pub reader: RevisionReader,
    pub inflight: Inflight,
    pub leases: Leases,
    /// By etcd prefix, which ends with a slash.
    pub resources: RwLock<BTreeMap<String, Arc<Resource>>>,
    /// A load older than this misses events and has to be repeated: history was lost up to here.
    pub load_floor: AtomicI64,
}

impl Shared {
    /// The resource that a key belongs to.
    pub fn resource_of(&self, key: &str) -> Option<Arc<Resource>> {
        let resources = self.resources.read();
        let below = (Bound::Unbounded, Bound::Included(key));
        let found =
            resources.range::<str, _>(below).rev().find(|(prefix, _)| key.starts_with(prefix.as_str()));
        found.map(|(_, resource)| resource.clone())
    }

    /// Brings the caches to the present revision of etcd.
    pub async fn catch_up(&self) -> Result<()> {
        let revision = self.reader.read().await?;
        self.progress.expect(revision);
        self.progress.wait(revision, self.options.freshness_timeout).await
    }

    /// Brings the caches to a revision that a client names, which etcd need not have.
    pub async fn reach(&self, revision: i64) -> Result<()> {
        if self.progress.reached() >= revision {
            return Ok(());
        }
        self.progress.expect(self.reader.read().await?);
        self.progress.wait(revision, self.options.freshness_timeout).await
    }
}

/// One resource: its place in etcd and its cache.
pub(crate) struct Resource {
    pub config: Arc<ResourceConfig>,
    /// Absolute, with the final slash.
    pub prefix: String,
    pub state: RwLock<State>,
    pub phase: watch::Sender<Phase>,
    pub metrics: ResourceMetrics,
}

/// The cache, and what waits while it is loaded.
pub(crate) struct State {
    pub cache: Cache,
    /// Events that came during the load; `None` once it is done.
    pub backlog: Option<Vec<Arrival>>,
    /// The revision of the load. The feed may still be behind it; what it brings up to here is known.
    pub loaded_at: i64,
}

/// How far a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Loading,
    Ready,
    Removed,
}

/// A change of one key, as the feed hands it to its resource.
pub(crate) struct Arrival {
    pub key: Box<str>,
    pub object: Option<Arc<Object>>,
    pub revision: i64,
}

impl Resource {
    pub fn new(config: ResourceConfig, prefix: String, options: &Options) -> Self {
        let indexed =
            config.fields.iter().enumerate().filter(|(_, field)| field.indexed).map(|(slot, _)| slot);
        let limits = HistoryLimits { window: options.history_window, bytes: options.history_bytes };
        Self {
            state: RwLock::new(State {
                cache: Cache::new(indexed.collect(), limits),
                backlog: Some(Vec::new()),
                loaded_at: 0,
            }),
            metrics: ResourceMetrics::new(&config.group, &config.resource),
            config: Arc::new(config),
            prefix,
            phase: watch::Sender::new(Phase::Loading),
        }
    }

    /// The etcd key of an object.
    pub fn etcd_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// A call to etcd on behalf of the resource.
    pub fn call(&self, operation: &'static str, attempted: &'static str) -> Call<'_> {
        Call { operation, group: &self.config.group, resource: &self.config.resource, attempted }
    }

    /// Returns once the cache is loaded.
    pub async fn ready(&self, options: &Options) -> Result<()> {
        let mut phase = self.phase.subscribe();
        let loaded = phase.wait_for(|phase| *phase != Phase::Loading);
        match tokio::time::timeout(options.request_timeout, loaded).await {
            Ok(Ok(phase)) if *phase == Phase::Ready => Ok(()),
            Ok(_) => Err(self.removed()),
            Err(_) => {
                Err(Error::Initializing { resource: self.config.qualified(), retry_after: LOAD_RETRY_AFTER })
            }
        }
    }

    /// The error of requests to a resource that is gone.
    pub fn removed(&self) -> Error {
        Error::Removed { resource: self.config.qualified() }
    }

    /// Ends the resource: its watches finish, its memory is freed.
    pub fn retire(&self) {
        let mut state = self.state.write();
        self.phase.send_replace(Phase::Removed);
        state.cache.watchers.clear();
        state.cache.load(Vec::new(), 0);
        self.metrics.objects.set(0);
    }

    /// Makes the object of a key and value read from etcd. A value that cannot be read back is reported and left out.
    pub fn decode(&self, interner: &Interner, kv: &KeyValue) -> Result<Arc<Object>> {
        let etcd_key = String::from_utf8_lossy(kv.key());
        let corrupt = |reason: String| {
            self.metrics.decode_errors.inc();
            Error::Corrupt { key: etcd_key.clone().into_owned(), reason }
        };
        let text = etcd_key.strip_prefix(&self.prefix).unwrap_or_default();
        let key = Key::parse(self.config.namespaced, text)
            .ok_or_else(|| corrupt("the key names no object".to_owned()))?;
        codec::decode(&self.config, interner, &etcd_key, key, kv.value(), kv.mod_revision())
            .map(Arc::new)
            .map_err(corrupt)
    }

    /// Applies arrivals in their order; all of one revision come in one call, so that no reader sees half of it.
    pub fn apply(&self, mut arrivals: Vec<Arrival>) {
        let now = Instant::now();
        let mut state = self.state.write();
        if let Some(backlog) = &mut state.backlog {
            backlog.extend(arrivals);
            return;
        }
        if *self.phase.borrow() == Phase::Removed {
            return;
        }
        self.metrics.events_received.inc_by(arrivals.len() as u64);
        let loaded_at = state.loaded_at;
        arrivals.retain(|arrival| arrival.revision > loaded_at);
        self.apply_locked(&mut state.cache, arrivals, now);
    }

    /// Applies arrivals to a cache whose lock the caller holds.
    pub fn apply_locked(&self, cache: &mut Cache, arrivals: Vec<Arrival>, now: Instant) {
        let (mut events, mut ended) = (0, 0);
        for arrival in arrivals {
            let delivered = cache.apply(&arrival.key, arrival.object, arrival.revision, now);
            events += delivered.events;
            ended += delivered.ended;
        }
        if ended > 0 {
            self.metrics.terminated_watchers.inc_by(ended);
            tracing::warn!(
                resource = self.config.qualified(),
                watchers = ended,
                "ended watchers that lag behind"
            );
        }
        self.metrics.events_dispatched.inc_by(events);
        self.metrics.revision.set(cache.changed_at());
        self.metrics.objects.set(i64::try_from(cache.objects().len()).unwrap_or(i64::MAX));
    }
}

/// Our own writes that are under way or just done, so that the feed recognises them when they come back and need not
/// parse them again.
#[derive(Default)]
pub(crate) struct Inflight(Mutex<HashMap<Box<str>, Vec<Arc<Prepared>>>>);

impl Inflight {
    /// Announces a write.
    pub fn begin(&self, key: &str, prepared: &Arc<Prepared>) {
        self.0.lock().entry(key.into()).or_default().push(prepared.clone());
    }

    /// Withdraws a write that did not happen.
    pub fn abandon(&self, key: &str, prepared: &Arc<Prepared>) {
        let mut writes = self.0.lock();
        if let Some(candidates) = writes.get_mut(key) {
            candidates.retain(|candidate| !Arc::ptr_eq(candidate, prepared));
            if candidates.is_empty() {
                writes.remove(key);
            }
        }
    }

    /// Takes the write that stored this value, if it was ours and made for this configuration.
    pub fn take(&self, key: &str, stored: &[u8], config: &Arc<ResourceConfig>) -> Option<Arc<Prepared>> {
        let mut writes = self.0.lock();
        let candidates = writes.get_mut(key)?;
        let at = candidates.iter().position(|candidate| candidate.stored == stored)?;
        let prepared = candidates.swap_remove(at);
        if candidates.is_empty() {
            writes.remove(key);
        }
        Arc::ptr_eq(&prepared.config, config).then_some(prepared)
    }

    /// Forgets all: events were missed, so some would stay for ever.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

/// What a client is told while a resource loads.
const LOAD_RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
