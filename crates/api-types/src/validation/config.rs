//! Config maps, secrets, namespaces, limit ranges, quotas, service accounts.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::check::{self, immutable};
use super::get::{entries, flag, get, has_entries, items, quantity, text, texts};
use super::{Validator, meta, pod, same};
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `ConfigMap`.
pub static CONFIG_MAP: Validator =
    Validator { name: name::subdomain_rule, create: config_map, update: config_map_update };
/// Rules of `Secret`.
pub static SECRET: Validator =
    Validator { name: name::subdomain_rule, create: secret, update: secret_update };
/// Rules of `Namespace`.
pub static NAMESPACE: Validator = same(name::label_rule, namespace, |new, _| namespace(new));
/// Rules of `LimitRange`.
pub static LIMIT_RANGE: Validator = same(name::subdomain_rule, limit_range, |new, _| limit_range(new));
/// Rules of `ResourceQuota`.
pub static RESOURCE_QUOTA: Validator = Validator {
    name: name::subdomain_rule,
    create: resource_quota,
    update: |new, old| {
        let mut errors = resource_quota(new);
        let scopes = |o: &Value| texts(&o["spec"], "scopes").map(str::to_owned).collect::<BTreeSet<_>>();
        if scopes(new) != scopes(old) {
            let shown = new["spec"].get("scopes").cloned().unwrap_or(Value::Null);
            errors.invalid(&SPEC.child("scopes"), shown, check::IMMUTABLE);
        }
        errors
    },
};
/// Rules of `ServiceAccount`.
pub static SERVICE_ACCOUNT: Validator =
    same(name::subdomain_rule, |_| ErrorList::new(), |_, _| ErrorList::new());

const SPEC: Path<'static> = Path::new("spec");
const DATA_MAX: usize = 1024 * 1024;
const SEALED: &str = "field is immutable when `immutable` is set";

fn config_map(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut size = 0;
    for bag in ["data", "binaryData"] {
        let path = Path::new(bag);
        for (key, value) in entries(object, bag) {
            errors.invalid_each(&path.key(key), key, name::config_map_key(key));
            if bag == "data" && object["binaryData"].get(key).is_some() {
                errors.invalid(&path.key(key), key, "duplicate of key present in binaryData");
            }
            size += bytes(value, bag == "binaryData");
        }
    }
    if size > DATA_MAX {
        // Upstream's path is one empty element, which prints so.
        errors.too_long(&Path::new("[]"), DATA_MAX);
    }
    errors
}

fn bytes(value: &Value, encoded: bool) -> usize {
    let text = value.as_str().unwrap_or_default();
    if encoded { STANDARD.decode(text).map_or(text.len(), |b| b.len()) } else { text.len() }
}

fn config_map_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    sealed(&mut errors, new, old, &["data", "binaryData"]);
    errors.append(config_map(new));
    errors
}

/// An object with `immutable: true` keeps that and its content.
fn sealed(errors: &mut ErrorList, new: &Value, old: &Value, content: &[&str]) {
    if !flag(old, "immutable") {
        return;
    }
    if !flag(new, "immutable") {
        errors.forbidden(&Path::new("immutable"), SEALED);
    }
    for key in content {
        if get(new, key) != get(old, key) {
            errors.forbidden(&Path::new(key), SEALED);
        }
    }
}

fn secret(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("data");
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        errors.invalid_each(&path.key(key), key, name::config_map_key(key));
        size += bytes(value, true);
    }
    if size > DATA_MAX {
        errors.too_long(&path, DATA_MAX);
    }
    let data = |key: &str| {
        let text = object.get("data").and_then(|d| get(d, key)).and_then(Value::as_str);
        text.map(|t| STANDARD.decode(t).unwrap_or_default())
    };
    let need = |errors: &mut ErrorList, keys: &[&str]| {
        for key in keys.iter().filter(|key| data(key).is_none()) {
            errors.required(&path.key(key), "");
        }
    };
    match text(object, "type") {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if text(&object["metadata"]["annotations"], key).is_empty() {
                errors.required(&Path::new("metadata.annotations").key(key), "");
            }
        }
        "kubernetes.io/dockercfg" => docker_config(&mut errors, &path, ".dockercfg", data(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => {
            docker_config(&mut errors, &path, ".dockerconfigjson", data(".dockerconfigjson"));
        }
        "kubernetes.io/basic-auth" if data("username").is_none() && data("password").is_none() => {
            need(&mut errors, &["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if data("ssh-privatekey").unwrap_or_default().is_empty() => {
            errors.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => need(&mut errors, &["tls.crt", "tls.key"]),
        _ => {}
    }
    errors
}

fn docker_config(errors: &mut ErrorList, path: &Path<'_>, key: &str, data: Option<Vec<u8>>) {
    match data {
        None => errors.required(&path.key(key), ""),
        Some(data) => {
            if let Err(why) = crate::decode::strict_untyped(&data) {
                errors.invalid(&path.key(key), "<secret contents redacted>", why.to_string());
            }
        }
    }
}

fn secret_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    immutable(&mut errors, &Path::ROOT, new, old, "type");
    sealed(&mut errors, new, old, &["data"]);
    errors.append(secret(new));
    errors
}

fn namespace(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = SPEC.child("finalizers");
    for finalizer in texts(&object["spec"], "finalizers") {
        errors.invalid_each(&path, finalizer, name::qualified_name(finalizer));
        errors.extend(meta::unqualified_finalizer(&path, finalizer));
    }
    errors
}

fn limit_range(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = SPEC.child("limits");
    let mut types: Vec<&str> = Vec::new();
    for (i, limit) in items(&object["spec"], "limits").iter().enumerate() {
        let path = path.index(i);
        let kind = text(limit, "type");
        errors.invalid_each(&path.child("type"), kind, name::qualified_name(kind));
        if types.contains(&kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        types.push(kind);
        if kind == "Pod" {
            for key in ["default", "defaultRequest"] {
                if has_entries(limit, key) {
                    errors.forbidden(&path.child(key), "may not be specified when `type` is 'Pod'");
                }
            }
        }
        if kind == "PersistentVolumeClaim"
            && ["min", "max"].iter().all(|k| get(&limit[*k], "storage").is_none())
        {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            errors.required(&path.child("limits"), detail);
        }
        bounds(&mut errors, &path, limit);
    }
    errors
}

fn bounds(errors: &mut ErrorList, path: &Path<'_>, limit: &Value) {
    let lists = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let resources: BTreeSet<&str> = lists.iter().flat_map(|l| entries(limit, l)).map(|(k, _)| k).collect();
    for resource in resources {
        let of = |list: &str| limit.get(list).and_then(|l| get(l, resource));
        let (min, max, usual, request) = (of("min"), of("max"), of("default"), of("defaultRequest"));
        let mut order = |small: Option<&Value>,
                         large: Option<&Value>,
                         names: (&str, &str),
                         at: &str,
                         shown: usize| {
            if let (Some(small), Some(large)) = (small, large)
                && quantity(small) > quantity(large)
            {
                let (a, b) = names;
                let detail =
                    format!("{a} value {} is greater than {b} value {}", quantity(small), quantity(large));
                let shown = [small, large][shown].clone();
                errors.invalid(&path.child(at).key(resource), shown, detail);
            }
        };
        order(min, max, ("min", "max"), "min", 0);
        order(min, request, ("min", "default request"), "defaultRequest", 1);
        order(request, max, ("default request", "max"), "defaultRequest", 0);
        order(request, usual, ("default request", "default limit"), "defaultRequest", 0);
        order(min, usual, ("min", "default"), "default", 0);
        order(usual, max, ("default", "max"), "default", 1);
        ratio(
            errors,
            &path.child("maxLimitRequestRatio").key(resource),
            of("maxLimitRequestRatio"),
            min,
            max,
        );
    }
}

fn ratio(
    errors: &mut ErrorList,
    path: &Path<'_>,
    ratio: Option<&Value>,
    min: Option<&Value>,
    max: Option<&Value>,
) {
    let Some(shown) = ratio else { return };
    let ratio = quantity(shown);
    if ratio < crate::quantity::Quantity::new(1, ratio.format()) {
        errors.invalid(path, shown.clone(), format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (min.map(quantity), max.map(quantity)) {
        let span = max.milli_value() as f64 / min.milli_value() as f64;
        if ratio.to_f64().ceil() > span {
            errors.invalid(path, shown.clone(), format!("ratio {ratio} is greater than max/min = {span:.6}"));
        }
    }
}

fn resource_quota(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let path = SPEC.child("hard");
    for (resource, value) in entries(spec, "hard") {
        let path = path.key(resource);
        if !resource.starts_with("count/") {
            pod::resource_name(&mut errors, &path, resource);
        }
        pod::quantity_value(&mut errors, &path, resource, value);
    }
    scopes(&mut errors, &SPEC.child("scopes"), spec);
    scope_selector(&mut errors, &SPEC.child("scopeSelector.matchExpressions"), spec);
    errors
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

fn scopes(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let all: Vec<&str> = texts(spec, "scopes").collect();
    let shown = || spec["scopes"].clone();
    for scope in &all {
        if !SCOPES.contains(scope) {
            errors.invalid(path, shown(), "unsupported scope");
        }
        for (resource, _) in entries(spec, "hard") {
            if !applies(scope, resource) {
                errors.invalid(path, shown(), "unsupported scope applied to resource");
            }
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|s| all.contains(s)) {
            errors.invalid(path, shown(), "conflicting scopes");
        }
    }
}

/// Whether a scope can select what a standard resource counts.
fn applies(scope: &str, resource: &str) -> bool {
    const PODS: [&str; 9] = [
        "pods",
        "cpu",
        "memory",
        "ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "requests.cpu",
        "requests.memory",
        "limits.ephemeral-storage",
    ];
    let is_standard = !resource.contains('/');
    match scope {
        _ if !is_standard => true,
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => PODS.contains(&resource) || resource == "requests.ephemeral-storage",
    }
}

fn scope_selector(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(selector) = get(spec, "scopeSelector") else { return };
    for term in items(selector, "matchExpressions") {
        let (scope, operator) = (text(term, "scopeName"), text(term, "operator"));
        if !SCOPES.contains(&scope) {
            errors.invalid(&path.child("scopeName"), scope, "unsupported scope");
        }
        let values = items(term, "values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail =
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required(&path.child("values"), detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail =
                    "must be no value when `operator` is 'DoesNotExist' or 'Exists' for scope selector";
                errors.invalid(&path.child("values"), term["values"].clone(), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
    }
}
