//! Rules of label selectors, node selectors and affinity.

use serde_json::Value;

use super::check;
use super::get::{entries, get, int, items, text, texts};
use crate::field::{ErrorList, Path};
use crate::name;

pub(super) const NEED_VALUES: &str = "must be specified when `operator` is 'In' or 'NotIn'";
const NO_VALUES: &str = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
const BAD_OPERATOR: &str = "not a valid selector operator";

/// A `LabelSelector`; absent is fine.
pub(super) fn label_selector(errors: &mut ErrorList, path: &Path<'_>, selector: Option<&Value>) {
    let Some(selector) = selector else { return };
    check::labels(errors, path, selector, "matchLabels");
    let path = path.child("matchExpressions");
    for (i, term) in items(selector, "matchExpressions").iter().enumerate() {
        let path = path.index(i);
        let values = items(term, "values");
        match text(term, "operator") {
            "In" | "NotIn" if values.is_empty() => errors.required(&path.child("values"), NEED_VALUES),
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(&path.child("values"), NO_VALUES)
            }
            "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, BAD_OPERATOR),
        }
        label_name(errors, &path.child("key"), text(term, "key"));
        let at = path.child("values");
        for (i, value) in texts(term, "values").enumerate() {
            errors.invalid_each(&at.index(i), value, name::label_value(value));
        }
    }
}

/// The key of a label.
pub(super) fn label_name(errors: &mut ErrorList, path: &Path<'_>, key: &str) {
    errors.invalid_each(path, key, name::qualified_name(key));
}

/// A `NodeSelector`.
pub(super) fn node_selector(errors: &mut ErrorList, path: &Path<'_>, selector: &Value, check_values: bool) {
    let path = path.child("nodeSelectorTerms");
    let terms = items(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        node_selector_term(errors, &path.index(i), term, check_values);
    }
}

pub(super) fn node_selector_term(errors: &mut ErrorList, path: &Path<'_>, term: &Value, check_values: bool) {
    let at = path.child("matchExpressions");
    for (i, requirement) in items(term, "matchExpressions").iter().enumerate() {
        node_requirement(errors, &at.index(i), requirement, check_values);
    }
    let at = path.child("matchFields");
    for (i, requirement) in items(term, "matchFields").iter().enumerate() {
        node_field_requirement(errors, &at.index(i), requirement);
    }
}

fn node_requirement(errors: &mut ErrorList, path: &Path<'_>, requirement: &Value, check_values: bool) {
    let values = items(requirement, "values");
    let at = path.child("values");
    match text(requirement, "operator") {
        "In" | "NotIn" if values.is_empty() => errors.required(&at, NEED_VALUES),
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.forbidden(&at, NO_VALUES),
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(&path.child("operator"), other, BAD_OPERATOR),
    }
    label_name(errors, &path.child("key"), text(requirement, "key"));
    if check_values {
        for (i, value) in texts(requirement, "values").enumerate() {
            errors.invalid_each(&at.index(i), value, name::label_value(value));
        }
    }
}

fn node_field_requirement(errors: &mut ErrorList, path: &Path<'_>, requirement: &Value) {
    let at = path.child("values");
    match text(requirement, "operator") {
        "In" | "NotIn" if items(requirement, "values").len() != 1 => {
            errors.required(
                &at,
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            );
        }
        "In" | "NotIn" => {}
        other => errors.invalid(&path.child("operator"), other, BAD_OPERATOR),
    }
    let key = text(requirement, "key");
    if key != "metadata.name" {
        errors.invalid(&path.child("key"), key, "not a valid field selector key");
        return;
    }
    for (i, value) in texts(requirement, "values").enumerate() {
        errors.invalid_each(&at.index(i), value, name::dns1123_subdomain(value));
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// `spec.affinity`.
pub(super) fn affinity(errors: &mut ErrorList, path: &Path<'_>, affinity: Option<&Value>) {
    let Some(affinity) = affinity else { return };
    if let Some(node) = get(affinity, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(required) = get(node, REQUIRED) {
            node_selector(errors, &path.child(REQUIRED), required, true);
        }
        let at = path.child(PREFERRED);
        for (i, term) in items(node, PREFERRED).iter().enumerate() {
            let at = at.index(i);
            weight(errors, &at, term);
            node_selector_term(errors, &at.child("preference"), &term["preference"], false);
        }
    }
    for key in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = get(affinity, key) else { continue };
        let path = path.child(key);
        let at = path.child(REQUIRED);
        for (i, term) in items(pods, REQUIRED).iter().enumerate() {
            pod_affinity_term(errors, &at.index(i), term);
        }
        let at = path.child(PREFERRED);
        for (i, term) in items(pods, PREFERRED).iter().enumerate() {
            let at = at.index(i);
            weight(errors, &at, term);
            pod_affinity_term(errors, &at.child("podAffinityTerm"), &term["podAffinityTerm"]);
        }
    }
}

fn weight(errors: &mut ErrorList, path: &Path<'_>, term: &Value) {
    let weight = int(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

fn pod_affinity_term(errors: &mut ErrorList, path: &Path<'_>, term: &Value) {
    label_selector(errors, &path.child("labelSelector"), get(term, "labelSelector"));
    label_selector(errors, &path.child("namespaceSelector"), get(term, "namespaceSelector"));
    for namespace in texts(term, "namespaces") {
        errors.invalid_each(&path.child("namespace"), namespace, name::dns1123_label(namespace));
    }
    matched_keys(errors, path, term);
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    label_name(errors, &path.child("topologyKey"), key);
}

/// `matchLabelKeys` and `mismatchLabelKeys` of an affinity term (KEP-3633).
fn matched_keys(errors: &mut ErrorList, path: &Path<'_>, term: &Value) {
    let selector = get(term, "labelSelector");
    let keys = |key: &str| texts(term, key).collect::<Vec<_>>();
    let (matched, mismatched) = (keys("matchLabelKeys"), keys("mismatchLabelKeys"));
    for (name, keys) in [("matchLabelKeys", &matched), ("mismatchLabelKeys", &mismatched)] {
        let path = path.child(name);
        if selector.is_none() && !keys.is_empty() {
            errors.forbidden(&path, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            label_name(errors, &path.index(i), key);
        }
    }
    if let Some(selector) = selector {
        selected_twice(errors, path, selector, &matched);
    }
    let path = path.child("matchLabelKeys");
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        errors.invalid(&path.index(i), *key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// Keys whose values come from the pod are in its selector by now; those that were there before are there twice.
pub(super) fn selected_twice(errors: &mut ErrorList, path: &Path<'_>, selector: &Value, keys: &[&str]) {
    let mut seen: Vec<&str> = entries(selector, "matchLabels").map(|(key, _)| key).collect();
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        if let (true, Some(i)) = (seen.contains(&key), keys.iter().position(|k| *k == key)) {
            errors.invalid(&path.index(i), key, "exists in both matchLabelKeys and labelSelector");
        }
        seen.push(key);
    }
}
