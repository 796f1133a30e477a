//! What the plugins about volumes share.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::k8s::api::storage::v1::StorageClass;
pub use api_types::volumes::*;

use crate::cache::PodInfo;
use crate::framework::{Objects, Rejection};

/// A claim by name.
///
/// # Errors
/// When it does not exist.
pub fn claim(
    objects: &Objects,
    namespace: &str,
    name: &str,
) -> Result<Arc<PersistentVolumeClaim>, Rejection> {
    let found = objects.claims.store().find(namespace, name);
    found.ok_or_else(|| Rejection::unresolvable(format!("persistentvolumeclaim {name:?} not found")))
}

/// A volume by name.
///
/// # Errors
/// When it does not exist.
pub fn volume(objects: &Objects, name: &str) -> Result<Arc<PersistentVolume>, Rejection> {
    let found = objects.volumes.store().find("", name);
    found.ok_or_else(|| Rejection::unresolvable(format!("persistentvolume {name:?} not found")))
}

/// The class that a claim names; `None` when it names none or that one does not exist.
pub fn class(objects: &Objects, claim: &PersistentVolumeClaim) -> Option<Arc<StorageClass>> {
    objects.storage_classes.store().find("", class_of_claim(claim))
}

/// Whether a pod uses a claim.
pub fn uses(pod: &PodInfo, claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.namespace.as_deref() == Some(&*pod.namespace)
        && pod.claims.iter().any(|(name, _)| claim.metadata.name.as_deref() == Some(name))
}
