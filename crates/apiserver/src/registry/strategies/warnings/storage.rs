//! Warnings about volumes, claims and what describes storage.

use serde_json::Value;

use super::pod::fraction;
use super::{node_term, old_label};
use crate::registry::meta;

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const BETA_MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// A claim.
pub fn claim(claim: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut told: Vec<String> = beta_class(claim).into_iter().collect();
    told.extend(claim_spec(&claim["spec"], "spec"));
    told
}

fn annotated(object: &Value, key: &str) -> bool {
    meta::field(object, "annotations").is_some_and(|annotations| annotations.get(key).is_some())
}

fn beta_class(object: &Value) -> Option<String> {
    annotated(object, BETA_CLASS).then(|| {
        format!(
            "metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        )
    })
}

/// The spec of a claim, or of a template for one.
pub(super) fn claim_spec(spec: &Value, path: &str) -> Option<String> {
    fraction(&spec["resources"]["requests"]["storage"], &format!("{path}.resources.requests[storage]"))
}

/// A persistent volume.
pub fn volume(volume: &Value, _old: Option<&Value>) -> Vec<String> {
    const OLD_SOURCES: [(&str, &str, &str); 8] = [
        ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
        ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ];
    let mut told = Vec::new();
    let spec = &volume["spec"];
    let required = &spec["nodeAffinity"]["required"];
    for (i, term) in required["nodeSelectorTerms"].as_array().into_iter().flatten().enumerate() {
        node_term(&mut told, term, &format!("spec.nodeAffinity.required.nodeSelectorTerms[{i}]"));
    }
    told.extend(beta_class(volume));
    if annotated(volume, BETA_MOUNT_OPTIONS) {
        told.push(format!(
            "metadata.annotations[{BETA_MOUNT_OPTIONS}]: deprecated since v1.31; use \"mountOptions\" attribute instead"
        ));
    }
    if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        told.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_owned());
    }
    for (_, shown, why) in OLD_SOURCES.iter().filter(|(key, ..)| !spec[*key].is_null()) {
        told.push(format!("spec.{shown}: {why}"));
    }
    told.extend(fraction(&spec["capacity"]["storage"], "spec.capacity[storage]"));
    told
}

pub(super) fn storage_class(class: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    for (i, term) in class["allowedTopologies"].as_array().into_iter().flatten().enumerate() {
        for (j, requirement) in term["matchLabelExpressions"].as_array().into_iter().flatten().enumerate() {
            let key = requirement["key"].as_str().unwrap_or_default();
            if let Some(why) = old_label(key) {
                told.push(format!("allowedTopologies[{i}].matchLabelExpressions[{j}].key: {key} is {why}"));
            }
        }
    }
    told
}

pub(super) fn capacity(capacity: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    let topology = &capacity["nodeTopology"];
    for (label, _) in topology["matchLabels"].as_object().into_iter().flatten() {
        if let Some(why) = old_label(label) {
            told.push(format!("nodeTopology.matchLabels[{label}]: {why}"));
        }
    }
    for (i, requirement) in topology["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let key = requirement["key"].as_str().unwrap_or_default();
        if let Some(why) = old_label(key) {
            told.push(format!("nodeTopology.matchExpressions[{i}].key: {key} is {why}"));
        }
    }
    told
}

pub(super) fn csi_driver(driver: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = &driver["spec"];
    let asks = spec["tokenRequests"].as_array().is_some_and(|requests| !requests.is_empty());
    if !asks || old.is_some() || !spec["serviceAccountTokenInSecrets"].is_null() {
        return Vec::new();
    }
    vec!["spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes".to_owned()]
}
