//! Which claims a pod needs, and which claims are needed no longer.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, PodResourceClaim, PodResourceClaimStatus};
use api_types::k8s::api::resource::v1::{
    ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use client::kube::ResourceExt;
use client::owner;

use crate::common::pods;

/// Keeps an allocated claim until its devices are given back.
pub(super) const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// Says on a generated claim which of its pod's claims it is.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";
/// Longest stem of a generated name: a label's length less a hyphen and five random characters.
const STEM: usize = 57;

/// How one claim of a pod is met.
#[derive(Debug)]
pub(super) enum Need {
    /// By the user, or already.
    Met,
    /// A claim was made, but the pod's status does not tell of it.
    Tell(String),
    /// A claim has to be made from a template.
    Make,
}

/// How a claim of a pod is met. `made` are the claims that the pod owns.
pub(super) fn need(pod: &Pod, wanted: &PodResourceClaim, made: &[Arc<ResourceClaim>]) -> Need {
    if wanted.resource_claim_template_name.is_none() {
        return Need::Met;
    }
    let mine = |claim: &&Arc<ResourceClaim>| claim.annotations().get(POD_CLAIM) == Some(&wanted.name);
    let existing = made.iter().find(mine).map(|claim| claim.name_any());
    match (told(pod, &wanted.name), existing) {
        // The status may say that no claim is needed.
        (Some(None), _) => Need::Met,
        (Some(Some(name)), Some(existing)) if *name == existing => Need::Met,
        (_, Some(existing)) => Need::Tell(existing),
        (_, None) => Need::Make,
    }
}

/// What the pod's status says of one of its claims: `Some(None)` when it says that there is none.
fn told<'a>(pod: &'a Pod, name: &str) -> Option<Option<&'a String>> {
    let statuses = pod.status.as_ref()?.resource_claim_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name).map(|status| status.resource_claim_name.as_ref())
}

/// The claim to be made from a template.
pub(super) fn make(pod: &Pod, wanted: &PodResourceClaim, template: &ResourceClaimTemplate) -> ResourceClaim {
    let meta = template.spec.metadata.clone().unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM.to_owned(), wanted.name.clone());
    // The pod does not wait for the claim's deletion: the kubelet has let go of it by then.
    let reference = OwnerReference { block_owner_deletion: None, ..owner::controller_ref(pod) };
    ResourceClaim {
        metadata: ObjectMeta {
            namespace: pod.metadata.namespace.clone(),
            generate_name: Some(format!("{}-", stem(&pod.name_any(), &wanted.name))),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![reference]),
            ..ObjectMeta::default()
        },
        spec: template.spec.spec.clone(),
        status: None,
    }
}

/// Both names, each cut in proportion where they are too long together.
fn stem(pod: &str, claim: &str) -> String {
    let length = pod.len() + 1 + claim.len();
    if length <= STEM {
        return format!("{pod}-{claim}");
    }
    // Names are ASCII, so every byte is a character.
    format!("{}-{}", &pod[..pod.len() * STEM / length], &claim[..claim.len() * STEM / length])
}

/// The statuses of a pod's claims with `news` merged in.
pub(super) fn statuses(pod: &Pod, news: Vec<(String, String)>) -> Vec<PodResourceClaimStatus> {
    let known = pod.status.as_ref().and_then(|status| status.resource_claim_statuses.clone());
    let mut statuses = known.unwrap_or_default();
    for (name, claim) in news {
        statuses.retain(|status| status.name != name);
        statuses.push(PodResourceClaimStatus { name, resource_claim_name: Some(claim) });
    }
    statuses
}

/// The names of all claims that a pod uses, as far as they are known.
pub(super) fn names(pod: &Pod) -> Vec<String> {
    let wanted = pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
    let mut names: Vec<String> = wanted
        .filter_map(|wanted| match &wanted.resource_claim_name {
            Some(name) => Some(name.clone()),
            None => told(pod, &wanted.name).flatten().cloned(),
        })
        .collect();
    let extended = pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.as_ref());
    names.extend(extended.map(|extended| extended.resource_claim_name.clone()));
    names
}

/// Whether a pod needs its claims no more: it has ended, or goes without ever having had a node.
pub(super) fn is_done(pod: &Pod) -> bool {
    pods::is_terminal(pod) || (pod.metadata.deletion_timestamp.is_some() && pods::node(pod).is_empty())
}

/// Whether a claim of a pod that was bound past the scheduler has to be reserved for it.
pub(super) fn lacks_reservation(pod: &Pod, claim: &ResourceClaim) -> bool {
    let status = claim.status.as_ref();
    let allocated = status.is_some_and(|status| status.allocation.is_some());
    let reserved = |reference: &ResourceClaimConsumerReference| {
        pod.metadata.uid.as_deref() == Some(reference.uid.as_str())
    };
    allocated
        && claim.metadata.deletion_timestamp.is_none()
        && !status.iter().flat_map(|status| status.reserved_for.iter().flatten()).any(reserved)
}

/// The reference that reserves a claim for a pod.
pub(super) fn reservation(pod: &Pod) -> ResourceClaimConsumerReference {
    ResourceClaimConsumerReference {
        api_group: None,
        resource: "pods".to_owned(),
        name: pod.name_any(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
    }
}

/// What is to be done about a claim once it is known which reservations still hold.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Upkeep {
    /// The claim with a status to be written.
    pub status: Option<ResourceClaim>,
    /// Whether the finalizer goes afterwards.
    pub unprotect: bool,
}

/// Drops reservations that no longer hold, and with the last one the allocation.
pub(super) fn upkeep(claim: &ResourceClaim, valid: Vec<ResourceClaimConsumerReference>) -> Upkeep {
    let status = claim.status.clone().unwrap_or_default();
    let before = status.reserved_for.as_ref().map_or(0, Vec::len);
    let protected = claim.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let leaving = claim.metadata.deletion_timestamp.is_some();
    let unused = valid.is_empty() && protected && (before > 0 || leaving);
    let mut changed = status.clone();
    changed.reserved_for = (!valid.is_empty()).then_some(valid);
    if unused {
        changed.allocation = None;
    }
    if before == 0 && status.allocation == changed.allocation {
        return Upkeep { status: None, unprotect: unused };
    }
    let news = changed != status;
    let claim = ResourceClaim { status: Some(changed), ..claim.clone() };
    Upkeep { status: news.then_some(claim), unprotect: unused }
}
