//! One resource of the store, as the registry sees it: reads. Writes are in `write`, lists in `list`.

use std::sync::Arc;
use std::time::Instant;

use crate::config::ResourceConfig;
use crate::error::{Error, Result};
use crate::object::Object;
use crate::query::{Freshness, WatchFrom, WatchQuery};
use crate::shared::{Phase, Resource, Shared};
use crate::store::Lifetime;
use crate::watch::{Past, Replay, Watch};

/// A handle to one resource; clones are cheap and equal.
#[derive(Clone)]
pub struct ResourceStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) resource: Arc<Resource>,
    _lifetime: Arc<Lifetime>,
}

impl ResourceStore {
    pub(crate) fn new(shared: Arc<Shared>, resource: Arc<Resource>, lifetime: Arc<Lifetime>) -> Self {
        Self { shared, resource, _lifetime: lifetime }
    }

    pub(crate) fn inner(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<ResourceConfig> {
        &self.resource.config
    }

    /// Returns once the cache is loaded. Reads wait for that by themselves; this is for `/readyz` and start-up.
    pub async fn ready(&self) -> Result<()> {
        self.resource.ready(&self.shared.options).await
    }

    /// How many objects the cache holds.
    pub fn count(&self) -> usize {
        self.resource.state.read().cache.objects().len()
    }

    /// One object from the cache; `namespace` is empty for cluster-scoped resources.
    pub async fn get(
        &self,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<Object>>> {
        self.fresh(freshness).await?;
        let key = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        Ok(self.resource.state.read().cache.get(&key))
    }

    /// A stream of events. Fails with [`Error::Expired`] when it should begin before what memory holds.
    pub async fn watch(&self, query: WatchQuery) -> Result<Watch> {
        match query.from {
            WatchFrom::After(_) => self.ready().await?,
            WatchFrom::State { freshness, .. } => self.fresh(freshness).await?,
            WatchFrom::Now => self.fresh(Freshness::Latest).await?,
        }
        let config = &self.resource.config;
        let selection = query.selection;
        let mut state = self.resource.state.write();
        if *self.resource.phase.borrow() == Phase::Removed {
            return Err(self.resource.removed());
        }
        let cache = &mut state.cache;
        let present = self.shared.progress.reached().max(cache.changed_at());
        let (after, past) = match query.from {
            WatchFrom::After(revision) => {
                let changes =
                    cache.changes_after(revision).map_err(|oldest| Error::too_old(revision, oldest))?;
                (revision, Past::Changes(changes))
            }
            WatchFrom::State { end_bookmark, .. } => {
                (present, Past::State(cache.candidates(&selection), end_bookmark.then_some(present)))
            }
            WatchFrom::Now => (present, Past::Changes(Vec::new())),
        };
        let indexed = |slot: usize| config.fields.get(slot).is_some_and(|field| field.indexed);
        let capacity = self.shared.options.watch_queue;
        let (id, bucket, queue) =
            cache.watchers.add(selection.clone(), after, capacity, config.namespaced, indexed);
        drop(state);
        // Selecting among the snapshot takes time; the cache goes on meanwhile.
        let replay = Replay::new(past, &selection);
        let bookmarks = query.bookmarks.then_some(self.shared.options.bookmark_interval);
        let registration =
            Registration { shared: self.shared.clone(), resource: self.resource.clone(), id, bucket };
        Ok(Watch::new(registration, queue, replay, selection, after, bookmarks))
    }

    /// Returns once the cache is as fresh as asked for.
    pub(crate) async fn fresh(&self, freshness: Freshness) -> Result<()> {
        self.ready().await?;
        match freshness {
            Freshness::Any => Ok(()),
            Freshness::AtLeast(revision) if self.resource.state.read().cache.changed_at() >= revision => {
                Ok(())
            }
            Freshness::AtLeast(revision) => self.shared.reach(revision).await,
            Freshness::Latest => {
                let started = Instant::now();
                let outcome = self.shared.catch_up().await;
                self.resource.metrics.consistent_read(started.elapsed(), outcome.is_ok());
                outcome
            }
        }
    }
}

/// A watcher's place in the index; given up when the stream is dropped.
pub(crate) struct Registration {
    pub shared: Arc<Shared>,
    pub resource: Arc<Resource>,
    id: u64,
    bucket: crate::watchers::Bucket,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.resource.state.write().cache.watchers.remove(self.id, &self.bucket);
    }
}
