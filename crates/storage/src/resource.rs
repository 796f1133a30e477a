//! One resource of the store, as the registry sees it.

use std::sync::Arc;

use serde_json::Value;

use crate::config::ResourceConfig;
use crate::error::{Error, Result};
use crate::object::Object;
use crate::query::{Freshness, ListQuery, Page, WatchQuery};
use crate::watch::Watch;

/// A handle to one resource; clones are cheap and equal.
#[derive(Clone)]
pub struct ResourceStore {
    config: Arc<ResourceConfig>,
}

impl ResourceStore {
    /// The configuration.
    pub fn config(&self) -> &Arc<ResourceConfig> {
        &self.config
    }

    /// Returns once the cache is loaded. Reads wait for that by themselves; this is for `/readyz` and start-up.
    pub async fn ready(&self) -> Result<()> {
        Err(nothing())
    }

    /// One object from the cache; `namespace` is empty for cluster-scoped resources.
    pub async fn get(&self, _namespace: &str, _name: &str, _fresh: Freshness) -> Result<Option<Arc<Object>>> {
        Err(nothing())
    }

    /// One page of objects in key order.
    pub async fn list(&self, _query: &ListQuery) -> Result<Page> {
        Err(nothing())
    }

    /// A stream of events.
    pub async fn watch(&self, _query: WatchQuery) -> Result<Watch> {
        Err(nothing())
    }

    /// Stores a new object. `kind`, `apiVersion` and `metadata.resourceVersion` of the value are ignored. Fails with
    /// [`Error::AlreadyExists`].
    pub async fn create(&self, _namespace: &str, _name: &str, _value: &Value) -> Result<Arc<Object>> {
        Err(nothing())
    }

    /// Replaces `current` by compare-and-swap. Fails with [`Error::Conflict`] holding what is stored now, or
    /// [`Error::NotFound`]. A value equal to the current one is not written: the same object comes back.
    pub async fn update(&self, _current: &Arc<Object>, _value: &Value) -> Result<Arc<Object>> {
        Err(nothing())
    }

    /// Deletes `current` if it is still the stored version; returns the revision of the deletion. Fails as
    /// [`ResourceStore::update`] does.
    pub async fn delete(&self, _current: &Arc<Object>) -> Result<i64> {
        Err(nothing())
    }

    /// How many objects the cache holds.
    pub fn count(&self) -> usize {
        0
    }
}

fn nothing() -> Error {
    Error::Unavailable { attempted: "starting", source: None }
}
