//! Writes: one compare-and-swap transaction each.

use std::sync::Arc;

use serde_json::Value;

use crate::codec::{Key, Prepared};
use crate::error::{Error, Result};
use crate::etcd::Swap;
use crate::object::Object;
use crate::query::Freshness;
use crate::resource::ResourceStore;

impl ResourceStore {
    /// Stores a new object. `kind`, `apiVersion` and `metadata.resourceVersion` of the value are ignored. Fails with
    /// [`Error::AlreadyExists`].
    pub async fn create(&self, namespace: &str, name: &str, value: &Value) -> Result<Arc<Object>> {
        let key =
            Key::new(self.resource.config.namespaced, namespace, name).ok_or_else(|| Error::Unstorable {
                key: format!("{}{namespace}/{name}", self.resource.prefix),
                reason: "namespace and name do not suit the scope of the resource".to_owned(),
            })?;
        let etcd_key = self.resource.etcd_key(&key.text);
        let prepared = self.prepare(key, &etcd_key, value)?;
        match self.put("create", &etcd_key, &prepared, 0).await? {
            Swap::Done(revision) => Ok(prepared.object(revision)),
            Swap::Differs(_) | Swap::Absent => Err(Error::AlreadyExists { key: etcd_key }),
        }
    }

    /// Replaces `current` by compare-and-swap. Fails with [`Error::Conflict`] holding what is stored now, or
    /// [`Error::NotFound`]. A value equal to the current one is not written: the same object comes back.
    pub async fn update(&self, current: &Arc<Object>, value: &Value) -> Result<Arc<Object>> {
        let key = Key { text: current.key.clone(), name_at: current.name_at };
        let etcd_key = self.resource.etcd_key(&key.text);
        let prepared = self.prepare(key, &etcd_key, value)?;
        if prepared.equals(current) {
            return self.unchanged(current, etcd_key).await;
        }
        match self.put("update", &etcd_key, &prepared, current.revision).await? {
            Swap::Done(revision) => Ok(prepared.object(revision)),
            other => Err(self.conflict(other, etcd_key)),
        }
    }

    /// Deletes `current` if it is still the stored version; returns the revision of the deletion. Fails as
    /// [`ResourceStore::update`] does.
    pub async fn delete(&self, current: &Arc<Object>) -> Result<i64> {
        let etcd_key = self.resource.etcd_key(&current.key);
        let call = self.resource.call("delete", "deleting an object");
        match self.shared.etcd.delete(call, &etcd_key, current.revision).await? {
            Swap::Done(revision) => Ok(revision),
            other => Err(self.conflict(other, etcd_key)),
        }
    }

    fn prepare(&self, key: Key, etcd_key: &str, value: &Value) -> Result<Arc<Prepared>> {
        Prepared::new(&self.resource.config, &self.shared.interner, key, etcd_key, value)
            .map(Arc::new)
            .map_err(|reason| Error::Unstorable { key: etcd_key.to_owned(), reason })
    }

    async fn put(
        &self,
        operation: &'static str,
        etcd_key: &str,
        prepared: &Arc<Prepared>,
        expected: i64,
    ) -> Result<Swap> {
        let shared = &self.shared;
        let lease = match self.resource.config.ttl {
            Some(ttl) => shared.leases.lease(&shared.etcd, &shared.options, ttl).await?,
            None => 0,
        };
        let mut announced = Announced { store: self, etcd_key, prepared, done: false };
        shared.inflight.begin(etcd_key, prepared);
        let call = self.resource.call(operation, "writing an object");
        let outcome = shared.etcd.put(call, etcd_key, &prepared.stored, expected, lease).await;
        announced.done = matches!(outcome, Ok(Swap::Done(_)));
        outcome
    }

    /// An update that changes nothing is answered without a write, but only when the caller's copy is the newest.
    async fn unchanged(&self, current: &Arc<Object>, etcd_key: String) -> Result<Arc<Object>> {
        self.fresh(Freshness::Latest).await?;
        match self.resource.state.read().cache.get(&current.key) {
            Some(found) if found.revision == current.revision => Ok(found),
            Some(found) => Err(Error::Conflict(found)),
            None => Err(Error::NotFound { key: etcd_key }),
        }
    }

    fn conflict(&self, found: Swap, etcd_key: String) -> Error {
        let Swap::Differs(kv) = found else {
            return Error::NotFound { key: etcd_key };
        };
        let key = etcd_key.strip_prefix(&self.resource.prefix).unwrap_or_default();
        let cached = self.resource.state.read().cache.get(key);
        if let Some(cached) = cached.filter(|cached| cached.revision == kv.mod_revision()) {
            return Error::Conflict(cached);
        }
        self.resource.decode(&self.shared.interner, &kv).map_or_else(|error| error, Error::Conflict)
    }
}

/// Withdraws the announcement of a write that failed or whose future was dropped; the feed withdraws the others.
struct Announced<'a> {
    store: &'a ResourceStore,
    etcd_key: &'a str,
    prepared: &'a Arc<Prepared>,
    done: bool,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.store.shared.inflight.abandon(self.etcd_key, self.prepared);
        }
    }
}
