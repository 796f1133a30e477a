//! Owner references: who controls an object, and how to say so.

use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

/// The reference that makes `owner` the controller of a new object, blocking its deletion in foreground mode.
///
/// `owner` comes from the server, so it has a name and a uid.
pub fn controller_ref<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The reference marked as controller, if any.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_ref()?.iter().find(|reference| reference.controller == Some(true))
}

/// Uid of the controller; empty when there is none.
pub fn controller_uid(meta: &ObjectMeta) -> &str {
    controller_of(meta).map_or("", |reference| reference.uid.as_str())
}

/// Whether `owner` controls an object with this metadata.
pub fn is_controlled_by<K: Resource>(meta: &ObjectMeta, owner: &K) -> bool {
    let uid = owner.meta().uid.as_deref().unwrap_or_default();
    !uid.is_empty() && controller_uid(meta) == uid
}
