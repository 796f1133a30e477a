//! Which persistent volume suits which claim. The scheduler and the volume binder have to agree on it.

use crate::k8s::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use crate::k8s::api::storage::v1::StorageClass;
use crate::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use crate::quantity::Quantity;
use crate::selector::Selector;

/// Marks a claim whose binding is complete.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Marks a volume or claim that was bound by a controller rather than by the user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Names the node for which a volume is to be made.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Names the provisioner that made a volume.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The name of a claim's class, empty for none; the old annotation goes before the field.
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    let field = || claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    class_annotation(&claim.metadata).or_else(field).unwrap_or_default()
}

/// The name of a volume's class, empty for none; the old annotation goes before the field.
pub fn class_of_volume(volume: &PersistentVolume) -> &str {
    let field = || volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    class_annotation(&volume.metadata).or_else(field).unwrap_or_default()
}

fn class_annotation(meta: &ObjectMeta) -> Option<&str> {
    annotation(meta, "volume.beta.kubernetes.io/storage-class")
}

/// An annotation's value.
pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Whether a class waits with binding until a pod uses the claim.
pub fn waits_for_pod(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// The name of the volume that a claim asks for or is bound to, empty for none.
pub fn volume_of(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

/// How much a claim asks for.
pub fn request(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let storage = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    storage.and_then(|storage| Quantity::parse(&storage.0).ok()).unwrap_or(Quantity::ZERO)
}

/// How much a volume holds.
pub fn capacity(volume: &PersistentVolume) -> Quantity {
    let storage = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    storage.and_then(|storage| Quantity::parse(&storage.0).ok()).unwrap_or(Quantity::ZERO)
}

/// A reference to a claim, as volumes carry it.
pub fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: claim.metadata.name.clone(),
        namespace: claim.metadata.namespace.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// Namespace and name of the claim that a volume is kept for.
pub fn claim_of(volume: &PersistentVolume) -> Option<(&str, &str)> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some((reference.namespace.as_deref().unwrap_or_default(), reference.name.as_deref().unwrap_or_default()))
}

/// Whether a volume's reference names a claim: by name, and by uid where it has one.
pub fn is_reserved_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && reference
                .uid
                .as_deref()
                .is_none_or(|uid| uid.is_empty() || claim.metadata.uid.as_deref() == Some(uid))
    })
}

/// Whether a volume and a claim differ in being a file system or a block device.
pub fn modes_differ(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let has = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let wants = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    has.unwrap_or("Filesystem") != wants.unwrap_or("Filesystem")
}

/// Why a volume that the user chose cannot serve a claim; `None` when it can. Worded as upstream words it.
pub fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    if capacity(volume) < request(claim) {
        return Some("requested PV is too small");
    }
    if class_of_volume(volume) != class_of_claim(claim) {
        return Some("storageClassName does not match");
    }
    if attributes_class_of(volume) != wanted_attributes_class(claim) {
        return Some("volumeAttributesClassName does not match");
    }
    if modes_differ(volume, claim) {
        return Some("incompatible volumeMode");
    }
    (!offers_access(volume, claim)).then_some("incompatible accessMode")
}

/// How a volume suits a claim; the better way sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It is kept for this claim.
    Reserved,
    /// It is free and has what the claim asks for.
    Free,
}

/// A claim that looks for a volume, with everything parsed that is compared with each.
#[derive(Debug)]
pub struct Search<'a> {
    claim: &'a PersistentVolumeClaim,
    request: Quantity,
    class: &'a str,
    selector: Selector,
}

impl<'a> Search<'a> {
    /// What `claim` looks for.
    pub fn new(claim: &'a PersistentVolumeClaim) -> Self {
        let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = match selector {
            Some(selector) => {
                Selector::from_label_selector(Some(selector)).unwrap_or_else(|_| Selector::nothing())
            }
            None => Selector::everything(),
        };
        Self { claim, request: request(claim), class: class_of_claim(claim), selector }
    }

    /// Whether and how a volume suits, node affinity aside.
    pub fn fit(&self, volume: &PersistentVolume) -> Option<Fit> {
        let spec = volume.spec.as_ref()?;
        if volume.metadata.deletion_timestamp.is_some()
            || modes_differ(volume, self.claim)
            || capacity(volume) < self.request
            || attributes_class_of(volume) != wanted_attributes_class(self.claim)
        {
            return None;
        }
        if spec.claim_ref.is_some() {
            return is_reserved_for(volume, self.claim).then_some(Fit::Reserved);
        }
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        let free = phase == Some("Available")
            && class_of_volume(volume) == self.class
            && offers_access(volume, self.claim)
            && self.selector.matches(&volume.metadata.labels);
        free.then_some(Fit::Free)
    }
}

fn attributes_class_of(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref()).unwrap_or_default()
}

fn wanted_attributes_class(claim: &PersistentVolumeClaim) -> &str {
    let spec = claim.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref()).unwrap_or_default()
}

/// Whether a volume has all access modes that a claim asks for.
fn offers_access(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let offered = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    let wanted = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    wanted.iter().all(|mode| offered.contains(mode))
}
