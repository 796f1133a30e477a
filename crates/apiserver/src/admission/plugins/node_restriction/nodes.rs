//! The node object itself.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::admission::plugins::support::text;
use crate::admission::{Operation, Request};

const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels under kubernetes.io and k8s.io that a kubelet may set on its node.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Prefixes of labels that a kubelet may set, with their subdomains.
const OWN_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// A kubelet writes only its own node, and neither its taints, its owners, nor labels that others decide by.
pub(super) fn node(request: &Request<'_>, node: &str) -> Result<(), String> {
    let own = |object: &Value| text(object, "/metadata/name").to_owned();
    let name = match (&request.object, request.operation) {
        (Some(object), Operation::Create) => own(object),
        _ => request.name.to_owned(),
    };
    if name != node {
        return Err(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let (Some(new), old) = (&request.object, request.old_object) else { return Ok(()) };
    let created = request.operation == Operation::Create;
    let labels = forbidden_labels(new, old);
    let same = |pointer: &str| {
        let value =
            |o: &Value| o.pointer(pointer).filter(|v| v.as_array().is_none_or(|a| !a.is_empty())).cloned();
        old.and_then(value) == value(new)
    };
    let config_source =
        |o: Option<&Value>| o.and_then(|o| o.pointer("/spec/configSource")).filter(|v| !v.is_null()).cloned();
    if config_source(Some(new)).is_some() && config_source(Some(new)) != config_source(old) {
        let what = if created {
            "create pods with a non-nil configSource"
        } else {
            "update configSource to a new non-nil configSource"
        };
        return Err(format!("node {node:?} is not allowed to {what}"));
    }
    if created && !labels.is_empty() {
        return Err(format!("node {node:?} is not allowed to set the following labels: {labels}"));
    }
    if !created && !same("/spec/taints") {
        return Err(format!("node {node:?} is not allowed to modify taints"));
    }
    if !labels.is_empty() {
        return Err(format!("is not allowed to modify labels: {labels}"));
    }
    if !same("/metadata/ownerReferences") {
        let what = if created { "set" } else { "modify" };
        return Err(format!("node {node:?} is not allowed to {what} ownerReferences"));
    }
    Ok(())
}

/// The labels that were changed and must not be, in order, as a list for the user.
fn forbidden_labels(new: &Value, old: Option<&Value>) -> String {
    let labels = |object: Option<&Value>| -> BTreeMap<String, Value> {
        let map = object.and_then(|o| o.pointer("/metadata/labels")).and_then(Value::as_object);
        map.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let (new, old) = (labels(Some(new)), labels(old));
    let mut changed: Vec<&str> =
        new.iter().filter(|(k, v)| old.get(*k) != Some(v)).map(|(k, _)| k.as_str()).collect();
    changed.extend(old.keys().filter(|k| !new.contains_key(*k)).map(String::as_str));
    changed.retain(|label| is_forbidden(label));
    changed.sort_unstable();
    changed.join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let Some((prefix, _)) = label.split_once('/') else { return false };
    let within =
        |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|p| p.ends_with('.'));
    if within(RESTRICTED) {
        return true;
    }
    let reserved = within("kubernetes.io") || within("k8s.io");
    reserved && !OWN_LABELS.contains(&label) && !OWN_PREFIXES.iter().any(|own| within(own))
}
