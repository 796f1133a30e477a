//! Which existing volume suits a claim.

use std::collections::HashSet;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::quantity::Quantity;
use api_types::selector::Selector;
use client::Key;
use client::kube::ResourceExt;

use super::super::volumes;
use super::{Assumed, find};
use crate::cache::NodeInfo;
use crate::framework::Objects;

/// How much a claim asks for.
pub fn request(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let storage = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    storage.and_then(|storage| Quantity::parse(&storage.0).ok()).unwrap_or(Quantity::ZERO)
}

/// The smallest volume on the node that suits the claim and is not taken; one that was made for the claim goes first.
pub fn smallest(
    objects: &Objects,
    assumed: &Assumed,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
    taken: &HashSet<String>,
) -> Option<Arc<PersistentVolume>> {
    let claim_key = Key::of(claim);
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = match selector {
        Some(selector) => Selector::from_label_selector(Some(selector)).ok()?,
        None => Selector::everything(),
    };
    let mut best: Option<(bool, Quantity, Arc<PersistentVolume>)> = None;
    objects.volumes.store().for_each(|key, volume| {
        let promised = assumed.volumes.get(&*key.name).is_some_and(|other| *other != claim_key);
        if promised || taken.contains(&*key.name) || !find::reaches(volume, node) {
            return;
        }
        let Some(reserved) = suits(volume, claim) else { return };
        if !reserved && !selector.matches(&volume.metadata.labels) {
            return;
        }
        let size = capacity(volume);
        // `true` sorts after `false`, and what was made for the claim is to sort first.
        let rank = (!reserved, size);
        if best.as_ref().is_none_or(|(other, size, _)| rank < (*other, *size)) {
            best = Some((rank.0, rank.1, Arc::clone(volume)));
        }
    });
    best.map(|(_, _, volume)| volume)
}

fn capacity(volume: &PersistentVolume) -> Quantity {
    let storage = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    storage.and_then(|storage| Quantity::parse(&storage.0).ok()).unwrap_or(Quantity::ZERO)
}

/// Whether a volume could serve a claim, its selector aside: `Some(true)` when it was made for it.
fn suits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<bool> {
    let (spec, wanted) = (volume.spec.as_ref()?, claim.spec.as_ref()?);
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    if volume.metadata.deletion_timestamp.is_some()
        || mode(&spec.volume_mode) != mode(&wanted.volume_mode)
        || capacity(volume) < request(claim)
        || spec.volume_attributes_class_name.as_deref().unwrap_or_default()
            != wanted.volume_attributes_class_name.as_deref().unwrap_or_default()
    {
        return None;
    }
    if let Some(reference) = &spec.claim_ref {
        let same = reference.name == claim.metadata.name && reference.namespace == claim.metadata.namespace;
        return (same && reference.uid.as_ref().is_none_or(|uid| claim.metadata.uid.as_ref() == Some(uid)))
            .then_some(true);
    }
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let annotation = volume.annotations().get("volume.beta.kubernetes.io/storage-class");
    let class = annotation.or(spec.storage_class_name.as_ref()).map_or("", String::as_str);
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let modes_fit = wanted.access_modes.iter().flatten().all(|mode| modes.contains(mode));
    (phase == Some("Available") && class == volumes::class_name(claim) && modes_fit).then_some(false)
}
