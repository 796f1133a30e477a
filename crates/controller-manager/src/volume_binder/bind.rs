//! How volume and claim look once they are bound to each other.

use api_types::k8s::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, PersistentVolumeStatus,
};
use api_types::volumes;
use client::kube::ResourceExt;

/// The volume with a reference to the claim; `None` when it has that already.
pub(super) fn volume(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let reserved = volumes::is_reserved_for(volume, claim);
    if reserved && reference.is_some_and(|reference| reference.uid == claim.metadata.uid) {
        return None;
    }
    let mut bound = volume.clone();
    bound.spec.get_or_insert_default().claim_ref = Some(volumes::reference(claim));
    if !reserved {
        bound.annotations_mut().insert(volumes::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    Some(bound)
}

/// The claim with the volume's name and the mark of completion; `None` when it has both already.
pub(super) fn claim(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Option<PersistentVolumeClaim> {
    let named = volumes::volume_of(claim) == volume.name_any();
    if named && claim.annotations().contains_key(volumes::BIND_COMPLETED) {
        return None;
    }
    let mut bound = claim.clone();
    if !named {
        bound.spec.get_or_insert_default().volume_name = Some(volume.name_any());
        bound.annotations_mut().insert(volumes::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    bound.annotations_mut().insert(volumes::BIND_COMPLETED.to_owned(), "yes".to_owned());
    Some(bound)
}

/// The claim's status once it is bound. Its size is the volume's when it becomes bound; later growth is for whoever
/// expands the volume to show.
pub(super) fn claim_status(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> PersistentVolumeClaimStatus {
    let mut status = claim.status.clone().unwrap_or_default();
    let spec = volume.spec.as_ref();
    status.access_modes = spec.and_then(|spec| spec.access_modes.clone());
    if status.phase.as_deref() != Some("Bound") {
        status.capacity = spec.and_then(|spec| spec.capacity.clone());
        let class = spec.and_then(|spec| spec.volume_attributes_class_name.clone());
        status.current_volume_attributes_class_name = class.filter(|class| !class.is_empty());
    }
    status.phase = Some("Bound".to_owned());
    status
}

/// The status of a claim in a phase without a volume.
pub(super) fn bare_claim_status(claim: &PersistentVolumeClaim, phase: &str) -> PersistentVolumeClaimStatus {
    PersistentVolumeClaimStatus {
        phase: Some(phase.to_owned()),
        access_modes: None,
        capacity: None,
        ..claim.status.clone().unwrap_or_default()
    }
}

/// A volume's status in a phase; `None` when it is in it. The server notes the time.
pub(super) fn volume_status(
    volume: &PersistentVolume,
    phase: &str,
    message: Option<&str>,
) -> Option<PersistentVolumeStatus> {
    let known = volume.status.as_ref();
    if known.and_then(|status| status.phase.as_deref()) == Some(phase) {
        return None;
    }
    Some(PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        message: message.map(str::to_owned),
        reason: None,
        ..known.cloned().unwrap_or_default()
    })
}

/// The volume as it was before it was bound: a reference that the user made stays, without its uid.
pub(super) fn unbound(volume: &PersistentVolume) -> PersistentVolume {
    let mut free = volume.clone();
    let by_controller = free.annotations_mut().remove(volumes::BOUND_BY_CONTROLLER).is_some();
    let spec = free.spec.get_or_insert_default();
    if by_controller {
        spec.claim_ref = None;
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
        reference.resource_version = None;
    }
    free
}
