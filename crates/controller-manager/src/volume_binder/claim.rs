//! What becomes of a claim.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::k8s::api::storage::v1::StorageClass;
use api_types::volumes::{self, Fit, Search};
use client::kube::ResourceExt;

use super::Note;

/// In-tree volume types whose volumes are made by a CSI driver, and that driver's name.
const MIGRATED: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];

/// What a claim could be bound to, and how new volumes come about.
pub(super) struct View {
    /// The volume that the claim names, if it exists.
    pub named: Option<Arc<PersistentVolume>>,
    /// Volumes of the claim's class, and those that are kept for it.
    pub candidates: Vec<Arc<PersistentVolume>>,
    /// The claim's class, if it exists.
    pub class: Option<Arc<StorageClass>>,
    /// Pods that use the claim and have no node yet.
    pub waiting_pods: Vec<String>,
    /// Whether volumes may be made on demand.
    pub provisioning: bool,
}

/// What to do for a claim.
#[derive(Debug)]
pub(super) enum Step {
    /// Bind it to this volume.
    Bind(Arc<PersistentVolume>),
    /// It waits.
    Pend(Option<Note>),
    /// It waits for a provisioner outside, which is told through annotations.
    Ask {
        /// Who makes the volume.
        provisioner: String,
        /// What the user is told.
        note: Note,
    },
    /// Its volume is gone or not its own.
    Lose(Note),
}

/// The next step for a claim.
pub(super) fn plan(claim: &PersistentVolumeClaim, view: &View) -> Step {
    match (claim.annotations().contains_key(volumes::BIND_COMPLETED), volumes::volume_of(claim)) {
        (true, _) => bound(claim, view),
        (false, "") => unbound(claim, view),
        (false, _) => chosen(claim, view),
    }
}

/// A claim whose binding was complete once.
fn bound(claim: &PersistentVolumeClaim, view: &View) -> Step {
    let lost = |reason, message: &str| Step::Lose(Note::warning(reason, message));
    if volumes::volume_of(claim).is_empty() {
        return lost(
            "ClaimLost",
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        );
    }
    let Some(volume) = &view.named else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    match reference {
        Some(reference) if reference.uid != claim.metadata.uid => {
            lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
        }
        _ => Step::Bind(Arc::clone(volume)),
    }
}

/// A claim for which the user chose a volume.
fn chosen(claim: &PersistentVolumeClaim, view: &View) -> Step {
    let Some(volume) = &view.named else { return Step::Pend(None) };
    let name = volume.name_any();
    if volumes::is_reserved_for(volume, claim) {
        return Step::Bind(Arc::clone(volume));
    }
    if volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some()) {
        let message = format!("volume {name:?} already bound to a different claim.");
        return Step::Pend(Some(Note::warning("FailedBinding", message)));
    }
    match volumes::mismatch(volume, claim) {
        Some(why) => {
            let message = format!("Cannot bind to requested volume {name:?}: {why}");
            Step::Pend(Some(Note::warning("VolumeMismatch", message)))
        }
        None => Step::Bind(Arc::clone(volume)),
    }
}

/// A claim that takes any volume that suits.
fn unbound(claim: &PersistentVolumeClaim, view: &View) -> Step {
    let selected = claim.annotations().contains_key(volumes::SELECTED_NODE);
    let delayed = !selected && view.class.as_deref().is_some_and(volumes::waits_for_pod);
    if let Some(volume) = best(claim, &view.candidates, delayed) {
        return Step::Bind(volume);
    }
    if delayed {
        return Step::Pend(Some(match view.waiting_pods.as_slice() {
            [] => Note::normal(
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            ),
            [pod] => Note::normal("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
            pods => Note::normal(
                "WaitForPodScheduled",
                format!("waiting for pods {} to be scheduled", pods.join(",")),
            ),
        }));
    }
    if volumes::class_of_claim(claim).is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return Step::Pend(Some(Note::normal("FailedBinding", message)));
    }
    if view.provisioning { provision(claim, view) } else { Step::Pend(None) }
}

/// The volume that suits best: one that is kept for the claim, else the one with the fewest access modes that the claim
/// does not need, else the smallest.
fn best(
    claim: &PersistentVolumeClaim,
    candidates: &[Arc<PersistentVolume>],
    reserved_only: bool,
) -> Option<Arc<PersistentVolume>> {
    let search = Search::new(claim);
    let modes = |volume: &PersistentVolume| {
        volume.spec.as_ref().and_then(|spec| spec.access_modes.as_ref()).map_or(0, Vec::len)
    };
    let ranked = candidates.iter().filter_map(|volume| {
        let fit = search.fit(volume)?;
        (fit == Fit::Reserved || !reserved_only)
            .then(|| ((fit, modes(volume), volumes::capacity(volume)), volume))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, volume)| Arc::clone(volume))
}

/// Who makes a volume for the claim. Nothing is made in the process itself.
fn provision(claim: &PersistentVolumeClaim, view: &View) -> Step {
    let failed = |message: String| Step::Pend(Some(Note::warning("ProvisioningFailed", message)));
    let Some(class) = &view.class else {
        let name = volumes::class_of_claim(claim);
        return failed(format!("storageclass.storage.k8s.io {name:?} not found"));
    };
    let migrated = MIGRATED.iter().find(|(name, _)| *name == class.provisioner).map(|(_, driver)| *driver);
    let provisioner = migrated.unwrap_or(&class.provisioner);
    if provisioner.starts_with("kubernetes.io/") {
        return failed(format!("no volume plugin matched name: {provisioner}"));
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    Step::Ask { provisioner: provisioner.to_owned(), note: Note::normal("ExternalProvisioning", message) }
}
