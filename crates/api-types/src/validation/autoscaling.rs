//! Horizontal pod autoscalers.

use serde_json::Value;

use super::Validator;
use super::check;
use super::get::{get, int, items, quantity, text};
use super::selector::label_selector;
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `HorizontalPodAutoscaler`, in version 2 (version 1 is converted before).
pub static HORIZONTAL_POD_AUTOSCALER: Validator =
    Validator { name: name::subdomain_rule, create, update: |new, _| create(new) };

const SPEC: Path<'static> = Path::new("spec");
const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
const WINDOW_MAX: i64 = 3600;
const PERIOD_MAX: i64 = 1800;

fn create(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let minimum = int(spec, "minReplicas");
    if let Some(min) = minimum.filter(|m| *m < 1) {
        errors.invalid(&SPEC.child("minReplicas"), min, "must be greater than or equal to 1");
    }
    let max = int(spec, "maxReplicas").unwrap_or(0);
    if max < 1 {
        errors.required(&SPEC.child("maxReplicas"), "must be set and greater than 0");
    }
    if minimum.is_some_and(|min| max < min) {
        errors.invalid(&SPEC.child("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    target_reference(&mut errors, &SPEC.child("scaleTargetRef"), &spec["scaleTargetRef"]);
    scale_target_group(&mut errors, &SPEC.child("scaleTargetRef.apiVersion"), &spec["scaleTargetRef"]);
    metrics(&mut errors, &SPEC.child("metrics"), spec, minimum);
    if let Some(behavior) = get(spec, "behavior") {
        let path = SPEC.child("behavior");
        for key in ["scaleUp", "scaleDown"] {
            if let Some(rules) = get(behavior, key) {
                scaling_rules(&mut errors, &path.child(key), rules);
            }
        }
    }
    errors
}

/// A reference to an object of any kind in the same namespace.
fn target_reference(errors: &mut ErrorList, path: &Path<'_>, reference: &Value) {
    for key in ["kind", "name"] {
        check::path_segment(errors, &path.child(key), text(reference, key));
    }
    let version = text(reference, "apiVersion");
    if version.matches('/').count() > 1 {
        let detail = format!("unexpected GroupVersion string: {version}");
        errors.invalid(&path.child("apiVersion"), version, detail);
    }
}

/// Of the core group only replication controllers scale.
fn scale_target_group(errors: &mut ErrorList, path: &Path<'_>, reference: &Value) {
    let version = text(reference, "apiVersion");
    if !version.contains('/') && text(reference, "kind") != "ReplicationController" {
        errors.invalid(path, version, "apiVersion must specify API group");
    }
}

fn metrics(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, minimum: Option<i64>) {
    let mut from_outside = false;
    for (i, metric) in items(spec, "metrics").iter().enumerate() {
        validate_metric(errors, &path.index(i), metric);
        from_outside |= matches!(text(metric, "type"), "Object" | "External");
    }
    if minimum == Some(0) && !from_outside {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.forbidden(path, detail);
    }
}

fn validate_metric(errors: &mut ErrorList, path: &Path<'_>, metric: &Value) {
    let kind = text(metric, "type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric source type");
    }
    let supported: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
    if !supported.contains(&kind) {
        // Upstream says so before and after it has looked at the sources.
        errors.not_supported(&path.child("type"), kind, &supported);
        errors.not_supported(&path.child("type"), kind, &supported);
    }
    // Sources are looked at in this order, whatever the type.
    let present: Vec<&str> = ["object", "external", "pods", "resource", "containerResource"]
        .into_iter()
        .filter(|key| get(metric, key).is_some())
        .collect();
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map_or("", |(_, key)| *key);
    for key in &present {
        if present.len() == 1 || *key == expected {
            validate_source(errors, &path.child(key), key, &metric[*key]);
        }
    }
    if !expected.is_empty() && !present.contains(&expected) {
        let detail = "must populate information for the given metric source";
        errors.required(&path.child(expected), detail);
    }
    for key in present.iter().filter(|key| **key != expected) {
        errors.forbidden(&path.child(key), "must populate the given metric source only");
    }
}

fn validate_source(errors: &mut ErrorList, path: &Path<'_>, kind: &str, source: &Value) {
    let target = &source["target"];
    let at = path.child("target");
    let value = get(target, "value").is_some();
    let average = get(target, "averageValue").is_some();
    let utilization = get(target, "averageUtilization").is_some();
    match kind {
        "object" => {
            reference(errors, &path.child("describedObject"), &source["describedObject"]);
            identifier(errors, &path.child("metric"), &source["metric"]);
            validate_target(errors, &at, target);
            if !value && !average {
                errors.required(&at.child("averageValue"), "must set either a target value or averageValue");
            }
        }
        "external" => {
            identifier(errors, &path.child("metric"), &source["metric"]);
            validate_target(errors, &at, target);
            if !value && !average {
                let detail = "must set either a target value for metric or a per-pod target";
                errors.required(&at.child("averageValue"), detail);
            }
            if value && average {
                let detail = "may not set both a target value for metric and a per-pod target";
                errors.forbidden(&at.child("value"), detail);
            }
        }
        "pods" => {
            identifier(errors, &path.child("metric"), &source["metric"]);
            validate_target(errors, &at, target);
            if get(target, "averageValue").is_none_or(|v| quantity(v).signum() <= 0) {
                errors.required(&at.child("averageValue"), "must specify a positive target averageValue");
            }
        }
        _ => {
            if text(source, "name").is_empty() {
                errors.required(&path.child("name"), "must specify a resource name");
            }
            if kind == "containerResource" && text(source, "container").is_empty() {
                errors.required(&path.child("container"), "must specify a container");
            }
            validate_target(errors, &at, target);
            if !utilization && !average {
                let detail = "must set either a target raw value or a target utilization";
                errors.required(&at.child("averageUtilization"), detail);
            }
            if utilization && average {
                let detail = "may not set both a target raw value and a target utilization";
                errors.forbidden(&at.child("averageValue"), detail);
            }
        }
    }
}

fn reference(errors: &mut ErrorList, path: &Path<'_>, reference: &Value) {
    target_reference(errors, path, reference);
}

fn identifier(errors: &mut ErrorList, path: &Path<'_>, metric: &Value) {
    let name = text(metric, "name");
    if name.is_empty() {
        errors.required(&path.child("name"), "must specify a metric name");
    } else {
        errors.invalid_each(&path.child("name"), name, name::path_segment(name, false));
    }
    label_selector(errors, &path.child("selector"), get(metric, "selector"));
}

fn validate_target(errors: &mut ErrorList, path: &Path<'_>, target: &Value) {
    let kind = text(target, "type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric target type");
    } else if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errors.invalid(&path.child("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for key in ["value", "averageValue"] {
        if let Some(amount) = get(target, key).filter(|v| quantity(v).signum() <= 0) {
            errors.invalid(&path.child(key), amount.clone(), "must be positive");
        }
    }
    if let Some(percent) = int(target, "averageUtilization").filter(|p| *p < 1) {
        errors.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn scaling_rules(errors: &mut ErrorList, path: &Path<'_>, rules: &Value) {
    if let Some(seconds) = int(rules, "stabilizationWindowSeconds") {
        let at = path.child("stabilizationWindowSeconds");
        if seconds < 0 {
            errors.invalid(&at, seconds, "must be greater than or equal to zero");
        }
        if seconds > WINDOW_MAX {
            errors.invalid(&at, seconds, format!("must be less than or equal to {WINDOW_MAX}"));
        }
    }
    if let Some(policy) = get(rules, "selectPolicy").and_then(Value::as_str) {
        check::one_of_if_set(errors, &path.child("selectPolicy"), policy, &["Disabled", "Max", "Min"]);
    }
    let at = path.child("policies");
    let policies = items(rules, "policies");
    if policies.is_empty() && get(rules, "policies").is_some() {
        errors.required(&at, "must specify at least one Policy");
    }
    for (i, policy) in policies.iter().enumerate() {
        let at = at.index(i);
        let kind = text(policy, "type");
        if !matches!(kind, "Percent" | "Pods") {
            errors.not_supported(&at.child("type"), kind, &["Percent", "Pods"]);
        }
        for (key, max) in [("value", i64::MAX), ("periodSeconds", PERIOD_MAX)] {
            let value = int(policy, key).unwrap_or(0);
            if value <= 0 {
                errors.invalid(&at.child(key), value, check::POSITIVE);
            }
            if value > max {
                errors.invalid(&at.child(key), value, format!("must be less than or equal to {max}"));
            }
        }
    }
}
