//! The store: one etcd, all its resources.

use crate::config::ResourceConfig;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::resource::ResourceStore;

/// One etcd cluster and the caches over it. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Connects, retrying until etcd answers, with a log line that says what it waits for. Fails only for options that
    /// cannot work (unreadable certificate files, malformed endpoints). Dropping the future gives up.
    pub async fn connect(_options: Options) -> Result<Self> {
        Err(Error::Unavailable { attempted: "connecting", source: None })
    }

    /// The store of a resource; the same one when called again with the same key prefix. Loading begins at once in
    /// the background. Another shape (version, kind, fields) under the same prefix replaces the cache and ends its
    /// watches.
    pub fn resource(&self, _config: ResourceConfig) -> Result<ResourceStore> {
        Err(Error::Unavailable { attempted: "connecting", source: None })
    }

    /// Forgets a resource (its CustomResourceDefinition is gone): its watches end, its cache is freed.
    pub fn remove(&self, _resource: &ResourceStore) {}

    /// The revision up to which every cache is complete.
    pub fn revision(&self) -> i64 {
        0
    }

    /// The present revision of etcd itself, by a linearizable read shared with all who ask at the same time.
    pub async fn current_revision(&self) -> Result<i64> {
        Err(Error::Unavailable { attempted: "connecting", source: None })
    }

    /// `/livez` and `/readyz` check `etcd`: a linearizable read within two seconds.
    pub async fn healthy(&self) -> Result<()> {
        Err(Error::Unavailable { attempted: "connecting", source: None })
    }

    /// Returns once every registered resource is loaded (`/readyz` check `informer-sync` of the caches).
    pub async fn ready(&self) -> Result<()> {
        Err(Error::Unavailable { attempted: "connecting", source: None })
    }
}
