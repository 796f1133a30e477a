//! What the storage has to know about a resource. It knows nothing else about types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// Turns a stored value that is not JSON of the configured apiVersion and kind into the object in that version:
/// protobuf written by upstream, or an older stored version. `kind` and `apiVersion` in the result are ignored.
pub type Decode = Arc<dyn Fn(&[u8]) -> Result<Value, String> + Send + Sync>;

/// Encryption at rest. `key` is the etcd key, which the envelope authenticates.
pub trait Transformer: Send + Sync {
    /// Wraps a value on its way to etcd.
    fn seal(&self, key: &str, plain: Vec<u8>) -> Result<Vec<u8>, String>;
    /// Unwraps a value read from etcd.
    fn open(&self, key: &str, stored: &[u8]) -> Result<Vec<u8>, String>;
}

/// One resource: where it lies in etcd and what is extracted from its objects when they are written.
#[derive(Clone)]
pub struct ResourceConfig {
    /// API group, for metrics and messages; empty for the core group.
    pub group: String,
    /// Plural name, for metrics and messages.
    pub resource: String,
    /// The etcd prefix of all objects. Absolute when it begins with a slash (`/registry/services/specs`), otherwise
    /// below [`crate::Options::prefix`] (`services/specs`).
    pub key_prefix: String,
    /// Whether keys are `<prefix>/<namespace>/<name>` or `<prefix>/<name>`.
    pub namespaced: bool,
    /// The stored apiVersion, also that of the watch frames.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The fields that selectors may name, beside `metadata.name` and `metadata.namespace`.
    pub fields: Vec<Field>,
    /// For values in another encoding or version; without it such values are an error.
    pub decode: Option<Decode>,
    /// Every value goes through `decode`: the type has changed since some were written (custom resources).
    pub decode_all: bool,
    /// Tells apart configurations that differ in what `decode` does.
    pub revision: String,
    /// Encryption at rest.
    pub transformer: Option<Arc<dyn Transformer>>,
    /// Objects expire this long after their last write (`--event-ttl`).
    pub ttl: Option<Duration>,
}

impl ResourceConfig {
    /// A resource without selectable fields, decoder, encryption or expiry.
    pub fn new(key_prefix: &str, namespaced: bool, api_version: &str, kind: &str) -> Self {
        let resource = key_prefix.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Self {
            group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            resource: resource.to_owned(),
            key_prefix: key_prefix.to_owned(),
            namespaced,
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            fields: Vec::new(),
            decode: None,
            decode_all: false,
            revision: String::new(),
            transformer: None,
            ttl: None,
        }
    }

    /// Adds a selectable field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// `resource.group`, as messages name it.
    pub fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }

    /// The slot of a field, for [`crate::Object::field_at`] and [`crate::Selection::indexed`].
    pub fn field_slot(&self, label: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.label == label)
    }

    /// Whether objects laid down under one configuration can be served under the other without a reload.
    pub(crate) fn same_shape(&self, other: &Self) -> bool {
        self.namespaced == other.namespaced
            && self.api_version == other.api_version
            && self.kind == other.kind
            && self.fields == other.fields
            && self.revision == other.revision
    }
}

impl fmt::Debug for ResourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceConfig")
            .field("resource", &self.qualified())
            .field("key_prefix", &self.key_prefix)
            .field("api_version", &self.api_version)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A selectable field: its value is extracted once, when the object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name in field selectors, e.g. `spec.nodeName`.
    pub label: String,
    /// Where the value is found, as member names from the top; the first path that leads to a non-empty value wins
    /// (an Event's `source` is `source.component`, else `reportingComponent`).
    pub paths: Vec<Vec<String>>,
    /// What selectors see when no path leads to a value: `""` for strings, `"false"` for booleans, `"0"` for numbers.
    pub default: String,
    /// Whether watchers that select one value of the field are found by that value, so that an event costs nothing
    /// to all others. Right for fields with many values and narrow watchers, such as `spec.nodeName`.
    pub indexed: bool,
}

impl Field {
    /// A string field whose label is its dotted path.
    pub fn new(label: &str) -> Self {
        Self { label: label.to_owned(), paths: vec![split(label)], default: String::new(), indexed: false }
    }

    /// Also takes the value from another dotted path, where the earlier ones lead to none.
    #[must_use]
    pub fn path(mut self, dotted: &str) -> Self {
        let path = split(dotted);
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
        self
    }

    /// Sets what selectors see when the value is absent.
    #[must_use]
    pub fn default_value(mut self, value: &str) -> Self {
        value.clone_into(&mut self.default);
        self
    }

    /// Makes watchers of one value findable by that value.
    #[must_use]
    pub fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }
}

fn split(dotted: &str) -> Vec<String> {
    dotted.split('.').map(str::to_owned).collect()
}
