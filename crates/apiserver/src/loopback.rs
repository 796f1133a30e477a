//! What the server does to its own objects, in its own name: bootstrap objects, quota usage.
//!
//! The implementation goes through the registry as user `system:apiserver`, group `system:masters`, with
//! field manager `kube-apiserver`, and past admission, which must not refuse what the server itself needs.

use async_trait::async_trait;
use serde_json::Value;

use crate::error::Result;

/// Names an object, or one of its subresources, in its stored version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// API group, "" for core.
    pub group: &'a str,
    /// Plural resource.
    pub resource: &'a str,
    /// Namespace, "" for cluster-scoped objects.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Subresource, or "".
    pub subresource: &'a str,
}

/// Reads and writes of whole objects. Objects carry no `kind` and `apiVersion` on the way out and need none
/// on the way in.
#[async_trait]
pub trait Objects: Send + Sync {
    /// The object as it is now (not as a cache that lags may have it).
    ///
    /// # Errors
    /// Storage cannot be reached.
    async fn get(&self, target: Target<'_>) -> Result<Option<Value>>;

    /// Creates the object.
    ///
    /// # Errors
    /// It exists (409 AlreadyExists), it is invalid, or storage cannot be reached.
    async fn create(&self, target: Target<'_>, object: Value) -> Result<Value>;

    /// Replaces the object, or the part of it that the subresource is, if it still has the resourceVersion of
    /// `object`.
    ///
    /// # Errors
    /// It has changed (409 Conflict), it is gone, it is invalid, or storage cannot be reached.
    async fn update(&self, target: Target<'_>, object: Value) -> Result<Value>;

    /// Deletes the object.
    ///
    /// # Errors
    /// It is gone, or storage cannot be reached.
    async fn delete(&self, target: Target<'_>) -> Result<()>;
}
