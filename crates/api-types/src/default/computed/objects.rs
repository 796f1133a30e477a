//! One function per type that is small.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value, json};

use super::{Object, child, children, is_nil, is_unset, text};

/// Names that follow from the kind, and the version that is stored from now on.
pub(super) fn custom_resource_definition(definition: &mut Object) {
    let mut stored = None;
    if let Some(spec) = child(definition, "spec") {
        if let Some(names) = child(spec, "names") {
            let kind = text(names, "kind").to_string();
            if is_unset(names, "singular") {
                names.insert("singular".into(), kind.to_lowercase().into());
            }
            if is_unset(names, "listKind") && !kind.is_empty() {
                names.insert("listKind".into(), format!("{kind}List").into());
            }
        }
        stored = children(spec, "versions")
            .find(|v| v.get("storage") == Some(&Value::Bool(true)))
            .map(|v| text(v, "name").to_string());
    }
    if let (Some(stored), Some(status)) = (stored, child(definition, "status"))
        && is_unset(status, "storedVersions")
    {
        status.insert("storedVersions".into(), json!([stored]));
    }
}

/// Only a strategy whose type was left open gets an update plan of its own.
pub(super) fn stateful_set_strategy(strategy: &mut Object) {
    if is_unset(strategy, "type") {
        strategy.insert("type".into(), "RollingUpdate".into());
        if is_nil(strategy, "rollingUpdate") {
            strategy.insert("rollingUpdate".into(), json!({}));
        }
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate")
        && is_nil(rolling, "partition")
    {
        rolling.insert("partition".into(), 0.into());
    }
}

/// Claim templates say what they are; protobuf does not carry it.
pub(super) fn stateful_set_spec(spec: &mut Object) {
    for template in children(spec, "volumeClaimTemplates") {
        template.insert("apiVersion".into(), "v1".into());
        template.insert("kind".into(), "PersistentVolumeClaim".into());
    }
}

/// `stringData` is written only: it becomes data.
pub(super) fn secret(secret: &mut Object) {
    let Some(Value::Object(texts)) = secret.remove("stringData") else { return };
    if is_nil(secret, "data") {
        secret.insert("data".into(), json!({}));
    }
    if let Some(data) = child(secret, "data") {
        for (name, text) in texts {
            data.insert(name, STANDARD.encode(text.as_str().unwrap_or_default()).into());
        }
    }
}

/// Counts that depend on which of them were given, and labels from the template.
pub(super) fn job(job: &mut Object) {
    let Some(spec) = child(job, "spec") else { return };
    let mut set = |name: &str, value: Value| {
        if is_nil(spec, name) {
            spec.insert(name.into(), value);
            return true;
        }
        false
    };
    // Both left open is a job of one pod; parallel workers without a count finish together.
    if set("parallelism", 1.into()) {
        set("completions", 1.into());
    }
    set("completionMode", "NonIndexed".into());
    set("suspend", false.into());
    set("manualSelector", false.into());
    let backoff = if is_nil(spec, "backoffLimitPerIndex") { 6 } else { i32::MAX };
    let replacement = if is_nil(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    for (name, value) in
        [("backoffLimit", Value::from(backoff)), ("podReplacementPolicy", replacement.into())]
    {
        if is_nil(spec, name) {
            spec.insert(name.into(), value);
        }
    }
    let labels = template_labels(spec);
    labels_from(job, labels);
}

/// Replicas' selector and labels are the template's.
pub(super) fn replication_controller(controller: &mut Object) {
    let Some(spec) = child(controller, "spec") else { return };
    let Some(labels) = template_labels(spec) else { return };
    if is_unset(spec, "selector") {
        spec.insert("selector".into(), Value::Object(labels.clone()));
    }
    labels_from(controller, Some(labels));
}

fn template_labels(spec: &Object) -> Option<JsonMap<String, Value>> {
    spec.get("template")?.get("metadata")?.get("labels")?.as_object().filter(|l| !l.is_empty()).cloned()
}

fn labels_from(object: &mut Object, labels: Option<JsonMap<String, Value>>) {
    if let (Some(labels), Some(meta)) = (labels, child(object, "metadata"))
        && is_unset(meta, "labels")
    {
        meta.insert("labels".into(), Value::Object(labels));
    }
}

/// Limits follow maxima, requests follow limits and minima.
pub(super) fn limit_range_item(item: &mut Object) {
    if text(item, "type") != "Container" {
        return;
    }
    let map =
        |item: &Object, name: &str| item.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut limits, mut requests) = (map(item, "default"), map(item, "defaultRequest"));
    for (name, quantity) in map(item, "max") {
        limits.entry(name).or_insert(quantity);
    }
    for (name, quantity) in limits.iter() {
        requests.entry(name.clone()).or_insert_with(|| quantity.clone());
    }
    for (name, quantity) in map(item, "min") {
        requests.entry(name).or_insert(quantity);
    }
    for (name, quantities) in [("default", limits), ("defaultRequest", requests)] {
        if !quantities.is_empty() {
            item.insert(name.into(), Value::Object(quantities));
        }
    }
}

/// A namespace carries its own name as a label, so that selectors can name it (KEP-2161).
pub(super) fn namespace(namespace: &mut Object) {
    let Some(meta) = child(namespace, "metadata") else { return };
    let name = text(meta, "name").to_string();
    if name.is_empty() {
        return;
    }
    if is_nil(meta, "labels") {
        meta.insert("labels".into(), json!({}));
    }
    if let Some(labels) = child(meta, "labels") {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

/// The old field for a node's range is the first of the new ones; where they differ, the old one counts.
pub(super) fn node_spec(spec: &mut Object) {
    let old = text(spec, "podCIDR").to_string();
    let first = spec.get("podCIDRs").and_then(|c| c.get(0)).and_then(Value::as_str).unwrap_or_default();
    if old.is_empty() && !first.is_empty() {
        let first = first.to_string();
        spec.insert("podCIDR".into(), first.into());
    } else if !old.is_empty() && old != first {
        spec.insert("podCIDRs".into(), json!([old]));
    }
}

/// What is not said to be reserved can be allocated.
pub(super) fn node_status(status: &mut Object) {
    if is_unset(status, "allocatable")
        && let Some(capacity) =
            status.get("capacity").filter(|c| c.as_object().is_some_and(|c| !c.is_empty())).cloned()
    {
        status.insert("allocatable".into(), capacity);
    }
}

/// A policy isolates incoming traffic, and outgoing traffic when it has rules for it.
pub(super) fn network_policy_spec(spec: &mut Object) {
    if is_unset(spec, "policyTypes") {
        let types = if is_unset(spec, "egress") { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        spec.insert("policyTypes".into(), types);
    }
}

/// Users and groups are of the RBAC group, service accounts of the core group.
pub(super) fn subject(subject: &mut Object) {
    if is_unset(subject, "apiGroup") && matches!(text(subject, "kind"), "User" | "Group") {
        subject.insert("apiGroup".into(), "rbac.authorization.k8s.io".into());
    }
}

/// A taint without a time was added now.
pub(super) fn device_taint(taint: &mut Object) {
    if is_nil(taint, "timeAdded") {
        let now = jiff::Timestamp::now().as_second();
        taint.insert("timeAdded".into(), crate::codec::scalar::format_time(now).into());
    }
}
