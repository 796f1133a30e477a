//! What becomes of a volume.

use std::path::{Component, Path, PathBuf};

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::volumes;
use client::kube::ResourceExt;

use super::Note;

/// What to do for a volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It shows this phase.
    Show(&'static str),
    /// It points at a claim that is bound elsewhere, or not yet: the claim decides.
    Wake,
    /// It cannot serve the claim it is kept for.
    Refuse(Note),
    /// It points at a claim that is bound elsewhere: it is free again.
    Free,
    /// Its claim is gone.
    Release(Reclaim),
}

/// What a released volume comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reclaim {
    /// It stays as it is: the user decides, or its provisioner does.
    Keep,
    /// It is deleted, after this directory on the manager's host.
    Delete(PathBuf),
    /// It cannot be reclaimed.
    Fail(Note),
}

/// The next step for a volume. `claim` is the one that the volume's reference names, uid included, if it exists.
pub(super) fn plan(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> Step {
    let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else {
        return Step::Show("Available");
    };
    if reference.uid.as_deref().is_none_or(str::is_empty) {
        // Kept for a claim that may not exist yet.
        return Step::Show("Available");
    }
    let Some(claim) = claim else { return Step::Release(reclaim(volume)) };
    match volumes::volume_of(claim) {
        "" if volumes::modes_differ(volume, claim) => Step::Refuse(Note::warning(
            "VolumeMismatch",
            format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
                claim.name_any()
            ),
        )),
        "" => Step::Wake,
        name if name == volume.name_any() => Step::Show("Bound"),
        _ if policy(volume) == "Delete" && volume.annotations().contains_key(volumes::PROVISIONED_BY) => {
            // It was made for a claim that took another one meanwhile; nobody else wants it.
            Step::Release(reclaim(volume))
        }
        _ => Step::Free,
    }
}

fn policy(volume: &PersistentVolume) -> &str {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    policy.unwrap_or("Retain")
}

/// What the reclaim policy asks for, as far as it can be done here.
fn reclaim(volume: &PersistentVolume) -> Reclaim {
    match policy(volume) {
        "Retain" => Reclaim::Keep,
        "Recycle" => {
            Reclaim::Fail(Note::warning("VolumeFailedRecycle", "No recycler plugin found for the volume!"))
        }
        "Delete" => delete(volume),
        _ => Reclaim::Fail(Note::warning(
            "VolumeUnknownReclaimPolicy",
            "Volume has unrecognized PersistentVolumeReclaimPolicy",
        )),
    }
}

fn delete(volume: &PersistentVolume) -> Reclaim {
    if volume.metadata.deletion_timestamp.is_some() {
        return Reclaim::Keep;
    }
    let failed = |message: String| Reclaim::Fail(Note::warning("VolumeFailedDelete", message));
    match volume.annotations().get(volumes::PROVISIONED_BY).map_or("", String::as_str) {
        "" | "kubernetes.io/host-path" => {}
        name if name.starts_with("kubernetes.io/") => {
            return failed(format!("no volume plugin matched name: {name}"));
        }
        _ => return Reclaim::Keep,
    }
    let spec = volume.spec.as_ref();
    let missing = |why: &str| {
        failed(format!("error getting deleter volume plugin for volume {:?}: {why}", volume.name_any()))
    };
    if let Some(source) = spec.and_then(|spec| spec.host_path.as_ref()) {
        return match below_tmp(Path::new(&source.path)) {
            Some(path) => Reclaim::Delete(path),
            None => failed(format!(
                "host_path deleter only supports /tmp/.+ but received provided {}",
                source.path
            )),
        };
    }
    match spec.is_some_and(|spec| spec.nfs.is_some()) {
        true => missing("no deletable volume plugin matched"),
        false => missing("no volume plugin matched"),
    }
}

/// A path strictly below `/tmp` that does not lead out of it by name.
fn below_tmp(path: &Path) -> Option<PathBuf> {
    let inside = path.strip_prefix("/tmp").ok()?;
    let plain = inside.components().all(|component| matches!(component, Component::Normal(_)));
    (plain && inside.components().next().is_some()).then(|| path.to_owned())
}
