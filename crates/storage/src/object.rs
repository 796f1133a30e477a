//! A stored object as the cache holds it: bytes, and the few strings that selection needs.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::ResourceConfig;
use crate::intern::Symbol;

/// One version of one object, shared by every reader.
///
/// Its JSON is canonical: sorted keys, no `kind` and `apiVersion` (they are the resource's, and each frame or response
/// states them once), with `metadata.resourceVersion`.
pub struct Object {
    pub(crate) config: Arc<ResourceConfig>,
    /// `namespace/name` or `name`: the etcd key below the resource's prefix.
    pub(crate) key: Box<str>,
    /// Where the name begins in `key`.
    pub(crate) name_at: u32,
    /// Where the digits of `metadata.resourceVersion` begin in `json`.
    pub(crate) revision_at: u32,
    pub(crate) uid: Box<str>,
    pub(crate) revision: i64,
    pub(crate) labels: Box<[(Symbol, Symbol)]>,
    pub(crate) fields: Box<[Symbol]>,
    pub(crate) json: Bytes,
    pub(crate) encodings: Slots,
}

impl Object {
    /// The namespace; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.key.get(..(self.name_at as usize).saturating_sub(1)).unwrap_or_default()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.key[self.name_at as usize..]
    }

    /// `metadata.uid`; empty when the object has none.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The etcd revision of the write that made this version: its `metadata.resourceVersion`.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The labels, sorted by key.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(candidate, _)| (**candidate).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    /// The value of a selectable field; `None` when the resource has no such field.
    pub fn field(&self, label: &str) -> Option<&str> {
        match label {
            "metadata.name" => Some(self.name()),
            "metadata.namespace" => Some(self.namespace()),
            _ => self.field_at(self.config.field_slot(label)?),
        }
    }

    /// The value of the selectable field in a slot ([`ResourceConfig::field_slot`]).
    pub fn field_at(&self, slot: usize) -> Option<&str> {
        self.fields.get(slot).map(|value| &**value)
    }

    /// The canonical JSON.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The JSON with `kind` and `apiVersion` in front, as one slice.
    pub fn json_with_kind(&self) -> Bytes {
        let head = kind_head(&self.config);
        let tail = &self.json[1..];
        let mut out = Vec::with_capacity(head.len() + tail.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(tail);
        out.into()
    }

    /// The object parsed, without `kind` and `apiVersion`.
    pub fn value(&self) -> Value {
        // The bytes were made by this crate from a parsed object, so they parse.
        serde_json::from_slice(&self.json).unwrap_or(Value::Null)
    }

    /// The resource's configuration.
    pub fn config(&self) -> &Arc<ResourceConfig> {
        &self.config
    }

    /// Other encodings of the object, made once and shared.
    pub fn encodings(&self) -> &Slots {
        &self.encodings
    }

    /// The same object as of another revision: what a watcher is shown when an object is deleted or leaves its
    /// selection.
    pub(crate) fn at_revision(&self, revision: i64) -> Object {
        let at = self.revision_at as usize;
        let digits = self.json[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = revision.to_string();
        let mut json = Vec::with_capacity(self.json.len() - digits + text.len());
        json.extend_from_slice(&self.json[..at]);
        json.extend_from_slice(text.as_bytes());
        json.extend_from_slice(&self.json[at + digits..]);
        Object {
            config: self.config.clone(),
            key: self.key.clone(),
            name_at: self.name_at,
            revision_at: self.revision_at,
            uid: self.uid.clone(),
            revision,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            json: json.into(),
            encodings: Slots::default(),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("kind", &self.config.kind)
            .field("key", &self.key)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// The opening of an object's JSON that states its kind; the canonical JSON follows without its brace.
pub(crate) fn kind_head(config: &ResourceConfig) -> String {
    format!(r#"{{"kind":"{}","apiVersion":"{}","#, config.kind, config.api_version)
}

/// Lazily made encodings, under a number that the caller gives each form (protobuf, another API version, a table
/// row, …). Costs two words until used.
#[derive(Default)]
pub struct Slots(OnceLock<Box<Mutex<Encodings>>>);

type Encodings = Vec<(u32, Bytes)>;

impl Slots {
    /// The encoding in a slot, made now if this is the first call. Concurrent callers wait for the one that makes it.
    pub fn get_or_try_make<E>(&self, slot: u32, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let mut slots = self.0.get_or_init(Box::default).lock();
        if let Some((_, bytes)) = slots.iter().find(|(candidate, _)| *candidate == slot) {
            return Ok(bytes.clone());
        }
        let bytes = make()?;
        slots.push((slot, bytes.clone()));
        Ok(bytes)
    }

    /// The encoding in a slot, if it was made.
    pub fn get(&self, slot: u32) -> Option<Bytes> {
        let slots = self.0.get()?.lock();
        slots.iter().find(|(candidate, _)| *candidate == slot).map(|(_, bytes)| bytes.clone())
    }
}

/// An object in the order of its etcd key. A map by key would store every key twice.
#[derive(Clone)]
pub(crate) struct ByKey(pub Arc<Object>);

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}
