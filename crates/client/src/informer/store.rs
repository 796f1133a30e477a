//! The objects of an informer, by key and by index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use parking_lot::RwLock;

use super::{Key, Object};
use crate::owner;

/// Gives the values under which an object is found; none for objects that the index leaves out.
pub type IndexFn<K> = fn(&K) -> Vec<String>;

/// Index function: uid of the controlling owner. Objects without one are under the empty string.
pub fn by_controller<K: kube::Resource>(object: &K) -> Vec<String> {
    vec![owner::controller_uid(object.meta()).to_owned()]
}

/// Index function: the node a pod is bound to; unbound pods are under the empty string.
pub fn by_node(pod: &Pod) -> Vec<String> {
    vec![pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()]
}

/// A concurrent map of shared objects with indexes. Reads never block each other and hold no lock afterwards.
pub struct Store<K> {
    inner: RwLock<Inner<K>>,
}

struct Inner<K> {
    objects: BTreeMap<Key, Arc<K>>,
    indexes: Vec<Index<K>>,
}

struct Index<K> {
    name: &'static str,
    values: IndexFn<K>,
    keys: HashMap<String, BTreeSet<Key>>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { inner: RwLock::new(Inner { objects: BTreeMap::new(), indexes: Vec::new() }) }
    }
}

impl<K: Object> Store<K> {
    /// The object under `key`.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// The object of that name; `namespace` is empty for cluster-scoped objects.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get(&Key::new(namespace, name))
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner.read().objects.values().cloned().collect()
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.inner.read().objects.keys().cloned().collect()
    }

    /// The objects of one namespace, by name.
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        let from = inner.objects.range(Key::new(namespace, "")..);
        from.take_while(|(key, _)| &*key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// The objects that index `name` files under `value`; empty when there is no such index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        let index = inner.indexes.iter().find(|index| index.name == name);
        debug_assert!(index.is_some(), "index {name} was not added");
        let keys = index.and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| inner.objects.get(key).cloned()).collect()
    }

    /// Calls `visit` for every object without copying the list; `visit` must be quick, writers wait.
    pub fn for_each(&self, mut visit: impl FnMut(&Key, &Arc<K>)) {
        for (key, object) in &self.inner.read().objects {
            visit(key, object);
        }
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add_index(&self, name: &'static str, values: IndexFn<K>) {
        let mut inner = self.inner.write();
        if inner.indexes.iter().any(|index| index.name == name) {
            return;
        }
        let mut index = Index { name, values, keys: HashMap::new() };
        for (key, object) in &inner.objects {
            index.insert(key, object);
        }
        inner.indexes.push(index);
    }

    /// Puts `new` under `key`, or removes it; gives what was there.
    pub(super) fn replace(&self, key: Key, new: Option<Arc<K>>) -> Option<Arc<K>> {
        let mut inner = self.inner.write();
        let Inner { objects, indexes } = &mut *inner;
        let old = match &new {
            Some(object) => objects.insert(key.clone(), Arc::clone(object)),
            None => objects.remove(&key),
        };
        for index in indexes {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            if let Some(new) = &new {
                index.insert(&key, new);
            }
        }
        old
    }
}

impl<K> Index<K> {
    fn insert(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}
