//! Where JSON becomes objects: the part of an informer that is compiled for each type.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;

use super::{Key, Object, Shared};

/// What a reflector does with what it receives.
pub(super) trait Mirror: Send + Sync {
    /// Stores an object; gives its resource version.
    fn upsert(&mut self, json: &str) -> Result<String, serde_json::Error>;
    /// Removes an object, from what was collected if `collecting`.
    fn remove(&mut self, key: &Key, collecting: bool);
    /// Forgets what was collected.
    fn restart(&mut self);
    /// Notes an object of a full state that is not complete yet.
    fn collect(&mut self, json: &str) -> Result<(), serde_json::Error>;
    /// Makes the store equal to what was collected; only differences are told.
    fn replace(&mut self);
    /// Everything up to `revision` is in the store.
    fn reached(&self, revision: u64);
}

/// Mirrors into the store of an informer.
pub(super) struct Typed<K: Object> {
    pub shared: Arc<Shared<K>>,
    pub transform: Option<fn(&mut K)>,
    pub collected: Vec<Arc<K>>,
}

impl<K: Object> Typed<K> {
    fn decode(&self, json: &str) -> Result<Arc<K>, serde_json::Error> {
        let mut object: K = serde_json::from_slice(json.as_bytes())?;
        object.meta_mut().managed_fields = None;
        if let Some(transform) = self.transform {
            transform(&mut object);
        }
        Ok(Arc::new(object))
    }
}

impl<K: Object> Mirror for Typed<K> {
    fn upsert(&mut self, json: &str) -> Result<String, serde_json::Error> {
        let object = self.decode(json)?;
        let revision = object.meta().resource_version.clone().unwrap_or_default();
        self.shared.apply(Key::of(&*object), Some(object));
        Ok(revision)
    }

    fn remove(&mut self, key: &Key, collecting: bool) {
        if collecting {
            self.collected.retain(|known| Key::of(&**known) != *key);
        } else {
            self.shared.apply(key.clone(), None);
        }
    }

    fn restart(&mut self) {
        self.collected = Vec::new();
    }

    fn collect(&mut self, json: &str) -> Result<(), serde_json::Error> {
        self.collected.push(self.decode(json)?);
        Ok(())
    }

    fn replace(&mut self) {
        let objects = std::mem::take(&mut self.collected);
        let present: HashSet<Key> = objects.iter().map(|object| Key::of(&**object)).collect();
        for gone in self.shared.store.keys().into_iter().filter(|key| !present.contains(key)) {
            self.shared.apply(gone, None);
        }
        for object in objects {
            let key = Key::of(&*object);
            let same = self.shared.store.get(&key).is_some_and(|known| {
                known.meta().resource_version == object.meta().resource_version
                    && known.meta().uid == object.meta().uid
            });
            if !same {
                self.shared.apply(key, Some(object));
            }
        }
    }

    fn reached(&self, revision: u64) {
        self.shared.advance(revision);
        self.shared.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }
}

/// As much of any object as a reflector has to know.
#[derive(Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub metadata: Meta,
}

impl Head {
    pub(super) fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// Metadata of an object or a list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub namespace: String,
    pub name: String,
    pub resource_version: String,
    #[serde(rename = "continue")]
    pub continue_: String,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Meta {
    pub(super) fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    /// Whether a bookmark marks the end of the full state.
    pub(super) fn ends_initial_events(&self) -> bool {
        let mark = self.annotations.as_ref().and_then(|all| all.get("k8s.io/initial-events-end"));
        mark.is_some_and(|mark| mark == "true")
    }
}
