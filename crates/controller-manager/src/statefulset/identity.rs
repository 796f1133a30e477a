//! What makes a pod of a StatefulSet this one and no other: its name, its labels, its claims.

use api_types::k8s::api::apps::v1::StatefulSet;
use api_types::k8s::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;
use client::kube::ResourceExt;
use client::owner;

use crate::common::history::HASH_LABEL;
use crate::common::{pods, selector};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Label of revisions with their hash; pods carry the revision's name instead.
pub(super) const REVISION_HASH: &str = "controller.kubernetes.io/hash";

/// The ordinal in a pod's name; `None` when the pod is not one of this set's.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let name = pod.metadata.name.as_deref()?;
    let number = name.strip_prefix(set.metadata.name.as_deref()?)?.strip_prefix('-')?;
    number.parse().ok().filter(|ordinal: &i32| ordinal.to_string() == number)
}

/// The name of the revision that a pod was made from.
pub(super) fn revision(pod: &Pod) -> &str {
    selector::labels(&pod.metadata).get(HASH_LABEL).map_or("", String::as_str)
}

/// The pod of one ordinal, from a template that belongs to `revision`.
pub(super) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let namespace = set.namespace().unwrap_or_default();
    let mut pod = pods::from_template(template, &namespace, &set.name_any(), owner::controller_ref(set));
    let name = format!("{}-{ordinal}", set.name_any());
    pod.metadata.name = Some(name.clone());
    pod.metadata.labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone());
    restore(set, &mut pod, ordinal);
    pod
}

/// Puts labels and claims back that make the pod what it is; whether anything was missing.
pub(super) fn restore(set: &StatefulSet, pod: &mut Pod, ordinal: i32) -> bool {
    let before = (pod.metadata.labels.clone(), pod.spec.as_ref().and_then(|spec| spec.volumes.clone()));
    let name = pod.metadata.name.clone().unwrap_or_default();
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), name);
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    let claims = templates(set);
    if !claims.is_empty() {
        let volumes = pod.spec.get_or_insert_default().volumes.get_or_insert_default();
        volumes
            .retain(|volume| !claims.iter().any(|claim| claim.metadata.name.as_ref() == Some(&volume.name)));
        for claim in &claims {
            volumes.push(Volume {
                name: claim.metadata.name.clone().unwrap_or_default(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim_name(set, claim, ordinal),
                    read_only: None,
                }),
                ..Volume::default()
            });
        }
    }
    let sorted = |volumes: Option<Vec<Volume>>| {
        let mut volumes = volumes.unwrap_or_default();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        volumes
    };
    let after = pod.spec.as_ref().and_then(|spec| spec.volumes.clone());
    before.0 != pod.metadata.labels || sorted(before.1) != sorted(after)
}

/// The claims that a pod needs.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let selector = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    templates(set)
        .into_iter()
        .map(|mut claim| {
            claim.metadata.name = Some(claim_name(set, &claim, ordinal));
            claim.metadata.namespace = set.namespace();
            claim.metadata.labels.get_or_insert_default().extend(selector.clone());
            claim.metadata.owner_references = retained_by(set).map(|owner| vec![owner]);
            claim.status = None;
            claim
        })
        .collect()
}

/// The owner that a claim has when it goes with its set.
fn retained_by(set: &StatefulSet) -> Option<OwnerReference> {
    let policy = set.spec.as_ref()?.persistent_volume_claim_retention_policy.as_ref()?;
    let goes = policy.when_deleted.as_deref() == Some("Delete");
    goes.then(|| owner::controller_ref(set))
}

/// The owners that a claim should have: the set when claims go with it, the pod when they go with a scaled-down pod.
pub(super) fn claim_owners(
    set: &StatefulSet,
    claim: &PersistentVolumeClaim,
    condemned: Option<&Pod>,
) -> Vec<OwnerReference> {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.clone());
    let scaled = policy.is_some_and(|policy| policy.when_scaled.as_deref() == Some("Delete"));
    let mut owners = claim.metadata.owner_references.clone().unwrap_or_default();
    let is_set = |reference: &OwnerReference| Some(&reference.uid) == set.metadata.uid.as_ref();
    owners.retain(|reference| !is_set(reference) && reference.kind != "Pod");
    match condemned.filter(|_| scaled) {
        Some(pod) => {
            owners.push(owner::controller_ref(pod));
        }
        None => owners.extend(retained_by(set)),
    }
    owners
}

fn templates(set: &StatefulSet) -> Vec<PersistentVolumeClaim> {
    set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.clone()).unwrap_or_default()
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.metadata.name.as_deref().unwrap_or_default(), set.name_any())
}
