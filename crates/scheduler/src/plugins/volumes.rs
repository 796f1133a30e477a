//! What the plugins about volumes share.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::k8s::api::storage::v1::StorageClass;
use client::kube::ResourceExt;

use crate::cache::PodInfo;
use crate::framework::{Objects, Rejection};

/// Marks a claim whose binding is complete.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Marks a volume that was bound to its claim by a controller rather than by the user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Names the node for which a volume is to be made.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

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
    objects.storage_classes.store().find("", class_name(claim))
}

/// The name of a claim's class, empty for none; the old annotation goes before the field.
pub fn class_name(claim: &PersistentVolumeClaim) -> &str {
    let annotation = claim.annotations().get("volume.beta.kubernetes.io/storage-class");
    let field = || claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotation.or_else(field).map_or("", String::as_str)
}

/// The name of the volume that a claim is bound to, empty for none.
pub fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

/// Whether a class waits with binding until a pod uses the claim.
pub fn waits_for_pod(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Whether a pod uses a claim.
pub fn uses(pod: &PodInfo, claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.namespace.as_deref() == Some(&*pod.namespace)
        && pod.claims.iter().any(|(name, _)| claim.metadata.name.as_deref() == Some(name))
}
