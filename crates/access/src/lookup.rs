//! The one thing this crate asks of the rest of the apiserver: the current form of an object.

use bytes::Bytes;

/// Names one object: API group (`""` for core), plural resource, namespace (`""` when cluster-scoped) and
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    /// API group, `""` for core.
    pub group: &'a str,
    /// Plural resource name, such as `secrets`.
    pub resource: &'a str,
    /// Namespace, `""` for a cluster-scoped object.
    pub namespace: &'a str,
    /// Object name.
    pub name: &'a str,
}

impl<'a> ObjectRef<'a> {
    /// An object of the core group.
    pub fn core(resource: &'a str, namespace: &'a str, name: &'a str) -> Self {
        Self { group: "", resource, namespace, name }
    }
}

/// Live objects, as JSON in the storage version.
///
/// An answer may come from a cache, but `None` must mean that the object does not exist: an implementation
/// confirms a miss with a consistent read, so that a token minted through one apiserver is good at another at
/// once.
#[async_trait::async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// The JSON of one object, or `None` when it does not exist.
    async fn get(&self, object: ObjectRef<'_>) -> Option<Bytes>;
}
