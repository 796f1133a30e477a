//! The store: one etcd, all its resources.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::ResourceConfig;
use crate::error::{Error, Result};
use crate::etcd::Etcd;
use crate::intern::Interner;
use crate::lease::Leases;
use crate::options::Options;
use crate::progress::{Progress, RevisionReader};
use crate::resource::ResourceStore;
use crate::shared::{Inflight, Resource, Shared};
use crate::{compact, error, feed, load};

/// One etcd cluster and the caches over it. Clones are cheap and share everything; when the last one and the last
/// [`ResourceStore`] are gone, the background work stops.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    lifetime: Arc<Lifetime>,
}

impl Store {
    /// Connects, retrying until etcd answers, with a log line that says what it waits for. Fails only for options that
    /// cannot work (unreadable certificate files, malformed endpoints). Dropping the future gives up.
    pub async fn connect(options: Options) -> Result<Self> {
        let etcd = Etcd::new(&options).await?;
        let revision = first_revision(&etcd, &options.endpoints).await;
        let shared = Arc::new(Shared {
            etcd,
            options,
            interner: Interner::default(),
            progress: Progress::default(),
            reader: RevisionReader::default(),
            inflight: Inflight::default(),
            leases: Leases::default(),
            resources: parking_lot::RwLock::default(),
            load_floor: AtomicI64::new(0),
        });
        shared.progress.advance(revision);
        let store = Self { lifetime: Arc::new(Lifetime::default()), shared };
        store.start();
        Ok(store)
    }

    /// The store of a resource; the same one when called again with the same key prefix. Loading begins at once in
    /// the background. Another shape (version, kind, fields) under the same prefix replaces the cache and ends its
    /// watches.
    pub fn resource(&self, config: ResourceConfig) -> Result<ResourceStore> {
        let prefix = self.absolute(&config.key_prefix)?;
        let mut resources = self.shared.resources.write();
        if let Some(existing) = resources.get(&prefix) {
            if existing.config.same_shape(&config) {
                return Ok(self.handle(existing.clone()));
            }
            existing.retire();
        }
        let resource = Arc::new(Resource::new(config, prefix.clone(), &self.shared.options));
        resources.insert(prefix, resource.clone());
        drop(resources);
        self.lifetime.spawn(load::run(self.shared.clone(), resource.clone()));
        Ok(self.handle(resource))
    }

    /// Forgets a resource (its CustomResourceDefinition is gone): its watches end, its cache is freed.
    pub fn remove(&self, resource: &ResourceStore) {
        let resource = resource.inner();
        let mut resources = self.shared.resources.write();
        if resources.get(&resource.prefix).is_some_and(|found| Arc::ptr_eq(found, resource)) {
            resources.remove(&resource.prefix);
        }
        drop(resources);
        resource.retire();
    }

    /// The revision up to which every cache is complete.
    pub fn revision(&self) -> i64 {
        self.shared.progress.reached()
    }

    /// The present revision of etcd itself, by a linearizable read shared with all who ask at the same time.
    pub async fn current_revision(&self) -> Result<i64> {
        self.shared.reader.read().await
    }

    /// `/livez` and `/readyz` check `etcd`: a linearizable read within two seconds.
    pub async fn healthy(&self) -> Result<()> {
        self.shared.etcd.probe().await.map(|_| ())
    }

    /// Returns once every registered resource is loaded (for `/readyz`).
    pub async fn ready(&self) -> Result<()> {
        let resources: Vec<_> = self.shared.resources.read().values().cloned().collect();
        for resource in resources {
            match resource.ready(&self.shared.options).await {
                // Removed while we waited: nobody needs it any more.
                Ok(()) | Err(Error::Removed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bytes of etcd's database (`apiserver_storage_size_bytes`).
    pub async fn size_bytes(&self) -> Result<i64> {
        self.shared.etcd.size_bytes().await
    }

    fn start(&self) {
        let shared = &self.shared;
        self.lifetime.spawn(feed::run(shared.clone()));
        self.lifetime.spawn({
            let shared = shared.clone();
            async move { shared.reader.run(&shared.etcd).await }
        });
        self.lifetime.spawn(expire(shared.clone()));
        if !shared.options.compaction_interval.is_zero() {
            self.lifetime.spawn(compact::run(shared.etcd.clone(), shared.options.compaction_interval));
        }
    }

    fn handle(&self, resource: Arc<Resource>) -> ResourceStore {
        ResourceStore::new(self.shared.clone(), resource, self.lifetime.clone())
    }

    fn absolute(&self, key_prefix: &str) -> Result<String> {
        let root = self.shared.options.prefix.trim_end_matches('/');
        let path = key_prefix.trim_end_matches('/');
        let absolute = if path.starts_with('/') { format!("{path}/") } else { format!("{root}/{path}/") };
        let below = absolute.strip_prefix(root).is_some_and(|rest| rest.starts_with('/') && rest.len() > 2);
        below.then_some(absolute).ok_or_else(|| Error::Options {
            option: "key prefix",
            reason: format!("{key_prefix} is not below {root}/, which is what the store watches"),
        })
    }
}

/// The background tasks; they end with it.
#[derive(Default)]
pub(crate) struct Lifetime {
    token: CancellationToken,
}

impl Lifetime {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        tokio::spawn(async move { token.run_until_cancelled_owned(task).await });
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

async fn first_revision(etcd: &Etcd, endpoints: &[String]) -> i64 {
    let started = Instant::now();
    let mut pause = CONNECT_PAUSE_FIRST;
    loop {
        let reason = match etcd.probe().await {
            Ok(revision) => return revision,
            Err(reason) => error::chain(&reason),
        };
        let waited_seconds = started.elapsed().as_secs();
        tracing::warn!(
            endpoints = endpoints.join(","),
            waited_seconds,
            reason,
            cure = "start etcd, or correct --etcd-servers and the --etcd-*file flags",
            "waiting for etcd to answer"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CONNECT_PAUSE_LAST);
    }
}

/// Lets idle caches go of their past.
async fn expire(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(EXPIRE_INTERVAL).await;
        let resources: Vec<_> = shared.resources.read().values().cloned().collect();
        for resource in resources {
            resource.state.write().cache.expire(Instant::now());
        }
    }
}

const CONNECT_PAUSE_FIRST: Duration = Duration::from_millis(100);
const CONNECT_PAUSE_LAST: Duration = Duration::from_secs(5);
const EXPIRE_INTERVAL: Duration = Duration::from_secs(15);
