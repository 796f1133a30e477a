//! Dynamic resource allocation: claims, classes and slices (KEP-4381). Expressions are compiled by the apiserver.

mod slice;

use serde_json::Value;

use super::Validator;
use super::check::{self, POSITIVE};
use super::get::{get, int, items, text, texts};
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `ResourceClaim`.
pub static RESOURCE_CLAIM: Validator = Validator {
    name: name::subdomain_rule,
    create: |object| claim(&SPEC, &object["spec"]),
    update: |new, old| {
        let mut errors = ErrorList::new();
        check::immutable_struct(
            &mut errors,
            &Path::ROOT,
            (new, old),
            "spec",
            "resource.k8s.io/v1.ResourceClaimSpec",
        );
        errors
    },
};
/// Rules of `ResourceClaimTemplate`.
pub static RESOURCE_CLAIM_TEMPLATE: Validator = Validator {
    name: name::subdomain_rule,
    create: |object| claim(&Path::new("spec.spec"), &object["spec"]["spec"]),
    update: |new, old| {
        let mut errors = ErrorList::new();
        let kind = "resource.k8s.io/v1.ResourceClaimTemplateSpec";
        check::immutable_struct(&mut errors, &Path::ROOT, (new, old), "spec", kind);
        errors
    },
};
/// Rules of `DeviceClass`.
pub static DEVICE_CLASS: Validator =
    Validator { name: name::subdomain_rule, create: class, update: |new, _| class(new) };
/// Rules of `ResourceSlice`.
pub static RESOURCE_SLICE: Validator = Validator {
    name: name::subdomain_rule,
    create: |object| slice::validate(object, None),
    update: |new, old| slice::validate(new, Some(old)),
};

const SPEC: Path<'static> = Path::new("spec");
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
/// Requests, selectors, constraints, configurations.
const LIST_MAX: usize = 32;
const SUBREQUESTS_MAX: usize = 8;
const TOLERATIONS_MAX: usize = 16;
const IDENTIFIER_MAX: usize = 32;
/// Bytes of the parameters for a driver.
const PARAMETERS_MAX: usize = 10 * 1024;

fn claim(path: &Path<'_>, spec: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let devices = &spec["devices"];
    let path = path.child("devices");
    let at = path.child("requests");
    limited(&mut errors, &at, devices, "requests", LIST_MAX);
    let mut names: Vec<&str> = Vec::new();
    for (i, request) in items(devices, "requests").iter().enumerate() {
        let at = at.index(i);
        let name = text(request, "name");
        check::label(&mut errors, &at.child("name"), name);
        if names.contains(&name) {
            errors.duplicate(&at, name);
        }
        names.push(name);
        match (get(request, "exactly"), items(request, "firstAvailable")) {
            (Some(_), [_, ..]) => {
                let detail =
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                errors.invalid(&at, Value::Null, detail);
            }
            (None, []) => errors.required(&at, "exactly one of `exactly` or `firstAvailable` is required"),
            (Some(exactly), []) => device_request(&mut errors, &at.child("exactly"), exactly),
            (None, subrequests) => {
                let at = at.child("firstAvailable");
                limited(&mut errors, &at, request, "firstAvailable", SUBREQUESTS_MAX);
                for (i, subrequest) in subrequests.iter().enumerate() {
                    check::label(&mut errors, &at.index(i).child("name"), text(subrequest, "name"));
                    device_request(&mut errors, &at.index(i), subrequest);
                }
            }
        }
    }
    let known = request_names(devices);
    let at = path.child("constraints");
    limited(&mut errors, &at, devices, "constraints", LIST_MAX);
    for (i, constraint) in items(devices, "constraints").iter().enumerate() {
        let at = at.index(i);
        request_references(&mut errors, &at.child("requests"), constraint, &known);
        for key in ["matchAttribute", "distinctAttribute"] {
            if let Some(attribute) = get(constraint, key).and_then(Value::as_str) {
                qualified_attribute(&mut errors, &at.child(key), attribute);
            }
        }
        if get(constraint, "matchAttribute").is_none() && get(constraint, "distinctAttribute").is_none() {
            errors.required(&at.child("matchAttribute"), "");
        }
    }
    let at = path.child("config");
    limited(&mut errors, &at, devices, "config", LIST_MAX);
    for (i, config) in items(devices, "config").iter().enumerate() {
        let at = at.index(i);
        request_references(&mut errors, &at.child("requests"), config, &known);
        opaque(&mut errors, &at, config);
    }
    errors
}

/// A list has at most so many items.
fn limited(errors: &mut ErrorList, path: &Path<'_>, owner: &Value, key: &str, max: usize) {
    let count = items(owner, key).len();
    if count > max {
        errors.too_many(path, count, max);
    }
}

/// What constraints and configurations may name: `request` and `request/subrequest`.
fn request_names(devices: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for request in items(devices, "requests") {
        let name = text(request, "name");
        names.push(name.to_owned());
        let subrequests = items(request, "firstAvailable").iter();
        names.extend(subrequests.map(|subrequest| format!("{name}/{}", text(subrequest, "name"))));
    }
    names
}

fn request_references(errors: &mut ErrorList, path: &Path<'_>, owner: &Value, known: &[String]) {
    limited(errors, path, owner, "requests", LIST_MAX);
    let mut seen: Vec<&str> = Vec::new();
    for (i, request) in texts(owner, "requests").enumerate() {
        if !known.iter().any(|name| name == request) {
            let detail = "must be the name of a request in the claim or the name of a request and a subrequest \
                separated by '/'";
            errors.invalid(&path.index(i), request, detail);
        }
        if seen.contains(&request) {
            errors.duplicate(&path.index(i), request);
        }
        seen.push(request);
    }
}

/// `domain/identifier`
fn qualified_attribute(errors: &mut ErrorList, path: &Path<'_>, attribute: &str) {
    match attribute.split_once('/') {
        _ if attribute.is_empty() => errors.required(path, "name required"),
        None => {
            identifier(errors, path, attribute);
            errors.invalid(path, attribute, "must include a domain");
        }
        Some((domain, rest)) => {
            if domain.is_empty() {
                errors.required(path, "the domain must not be empty");
            } else {
                check::subdomain(errors, path, domain);
            }
            if rest.is_empty() {
                errors.required(path, "the name must not be empty");
            } else {
                identifier(errors, path, rest);
            }
        }
    }
}

fn identifier(errors: &mut ErrorList, path: &Path<'_>, text: &str) {
    if text.len() > IDENTIFIER_MAX {
        errors.too_long(path, IDENTIFIER_MAX);
    }
    errors.invalid_each(path, text, name::c_identifier(text));
}

/// Tolerations of device taints (KEP-5055).
fn tolerations(errors: &mut ErrorList, path: &Path<'_>, request: &Value) {
    limited(errors, path, request, "tolerations", TOLERATIONS_MAX);
    for (i, toleration) in items(request, "tolerations").iter().enumerate() {
        let path = path.index(i);
        let (key, value) = (text(toleration, "key"), text(toleration, "value"));
        if !key.is_empty() {
            errors.invalid_each(&path.child("key"), key, name::qualified_name(key));
        }
        match text(toleration, "operator") {
            "Exists" if !value.is_empty() => {
                errors.invalid(&path.child("value"), value, "must be empty for operator `Exists`");
            }
            "Exists" => {}
            "Equal" => {
                if key.is_empty() {
                    errors.required(&path.child("key"), "must not be empty for operator `Equal`");
                }
                errors.invalid_each(&path.child("value"), value, name::label_value(value));
            }
            "" => errors.required(&path.child("operator"), ""),
            other => errors.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        check::one_of_if_set(errors, &path.child("effect"), text(toleration, "effect"), &EFFECTS);
    }
}

fn device_request(errors: &mut ErrorList, path: &Path<'_>, request: &Value) {
    check::subdomain(errors, &path.child("deviceClassName"), text(request, "deviceClassName"));
    selectors(errors, &path.child("selectors"), request);
    let at = path.child("count");
    let count = int(request, "count").unwrap_or(0);
    match text(request, "allocationMode") {
        "All" if count != 0 => {
            errors.invalid(&at, count, "must not be specified when allocationMode is 'All'");
        }
        "All" => {}
        "ExactCount" if count <= 0 => errors.invalid(&at, count, POSITIVE),
        "ExactCount" => {}
        other => errors.not_supported(&path.child("allocationMode"), other, &["All", "ExactCount"]),
    }
    tolerations(errors, &path.child("tolerations"), request);
}

fn selectors(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
    limited(errors, path, owner, "selectors", LIST_MAX);
    for (i, selector) in items(owner, "selectors").iter().enumerate() {
        if get(selector, "cel").is_none() {
            errors.required(&path.index(i).child("cel"), "");
        }
    }
}

/// Configuration for a driver: its name and a JSON object for it.
fn opaque(errors: &mut ErrorList, path: &Path<'_>, config: &Value) {
    let path = path.child("opaque");
    let Some(opaque) = get(config, "opaque") else { return errors.required(&path, "") };
    check::subdomain(errors, &path.child("driver"), text(opaque, "driver"));
    match opaque.get("parameters") {
        None | Some(Value::Null) => errors.required(&path.child("parameters"), ""),
        Some(parameters) if parameters.to_string().len() > PARAMETERS_MAX => {
            errors.too_long(&path.child("parameters"), PARAMETERS_MAX);
        }
        Some(Value::Object(_)) => {}
        Some(_) => {
            let detail = "must be a valid JSON object";
            errors.invalid(&path.child("parameters"), "<value omitted>", detail);
        }
    }
}

fn class(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    selectors(&mut errors, &SPEC.child("selectors"), spec);
    let path = SPEC.child("config");
    for (i, config) in items(spec, "config").iter().enumerate() {
        opaque(&mut errors, &path.index(i), config);
    }
    if let Some(name) = get(spec, "extendedResourceName").and_then(Value::as_str) {
        let extended = name.contains('/')
            && !name.contains("kubernetes.io/")
            && !name.starts_with("requests.")
            && name::qualified_name(&format!("requests.{name}")).is_empty();
        if !extended {
            let detail = "must be a valid extended resource name";
            errors.invalid(&SPEC.child("extendedResourceName"), name, detail);
        }
    }
    errors
}
