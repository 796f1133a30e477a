//! Dynamic resource allocation: claims, classes and slices (KEP-4381). Expressions are compiled by the apiserver.

use serde_json::Value;

use super::Validator;
use super::check::{self, POSITIVE, go_struct, immutable};
use super::get::{entries, get, int, items, text, texts};
use crate::field::{BadValue, Error, ErrorKind, ErrorList, Path};
use crate::name;

/// Rules of `ResourceClaim`.
pub static RESOURCE_CLAIM: Validator = Validator {
    name: name::subdomain_rule,
    create: |object| claim(&SPEC, &object["spec"]),
    update: |new, old| {
        let mut errors = ErrorList::new();
        immutable(&mut errors, &Path::ROOT, new, old, "spec");
        errors
    },
};
/// Rules of `ResourceClaimTemplate`.
pub static RESOURCE_CLAIM_TEMPLATE: Validator = Validator {
    name: name::subdomain_rule,
    create: |object| claim(&Path::new("spec.spec"), &object["spec"]["spec"]),
    update: |new, old| {
        let mut errors = ErrorList::new();
        immutable(&mut errors, &Path::ROOT, new, old, "spec");
        errors
    },
};
/// Rules of `DeviceClass`.
pub static DEVICE_CLASS: Validator =
    Validator { name: name::subdomain_rule, create: class, update: |new, _| class(new) };
/// Rules of `ResourceSlice`.
pub static RESOURCE_SLICE: Validator = Validator {
    name: name::subdomain_rule,
    create: |object| slice(object, None),
    update: |new, old| slice(new, Some(old)),
};

const SPEC: Path<'static> = Path::new("spec");
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

fn claim(path: &Path<'_>, spec: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let devices = &spec["devices"];
    let path = path.child("devices");
    let at = path.child("requests");
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
                for (i, subrequest) in subrequests.iter().enumerate() {
                    check::label(&mut errors, &at.index(i).child("name"), text(subrequest, "name"));
                    device_request(&mut errors, &at.index(i), subrequest);
                }
            }
        }
    }
    let at = path.child("config");
    for (i, config) in items(devices, "config").iter().enumerate() {
        let at = at.index(i);
        let requests = at.child("requests");
        for (i, request) in texts(config, "requests").enumerate() {
            let known = names.contains(&request.split('/').next().unwrap_or_default());
            if !known {
                let detail = "must be the name of a request in the claim or the name of a request and a subrequest \
                    separated by '/'";
                errors.invalid(&requests.index(i), request, detail);
            }
        }
        opaque(&mut errors, &at, config);
    }
    errors
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
}

fn selectors(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
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

fn slice(object: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    check::subdomain(&mut errors, &SPEC.child("driver"), text(spec, "driver"));
    let pool = SPEC.child("pool");
    let name = text(&spec["pool"], "name");
    if name.is_empty() {
        errors.required(&pool.child("name"), "");
    } else {
        for part in name.split('/') {
            errors.invalid_each(&pool.child("name"), part, name::dns1123_subdomain(part));
        }
    }
    let count = int(&spec["pool"], "resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        errors.invalid(&pool.child("resourceSliceCount"), count, POSITIVE);
    }
    if let Some(before) = old.map(|o| &o["spec"]) {
        immutable_text(&mut errors, &pool.child("name"), &spec["pool"], &before["pool"], "name");
        immutable_text(&mut errors, &SPEC.child("driver"), spec, before, "driver");
        immutable(&mut errors, &SPEC, spec, before, "nodeName");
    }
    node_choice(&mut errors, spec);
    let path = SPEC.child("devices");
    let mut names: Vec<&str> = Vec::new();
    for (i, device) in items(spec, "devices").iter().enumerate() {
        let path = path.index(i);
        let name = text(device, "name");
        check::label(&mut errors, &path.child("name"), name);
        if names.contains(&name) {
            errors.duplicate(&path, name);
        }
        names.push(name);
        attributes(&mut errors, &path.child("attributes"), device);
        taints(&mut errors, &path.child("taints"), device);
    }
    errors
}

/// As [`immutable`], for text that shows as "" when it is gone.
fn immutable_text(errors: &mut ErrorList, path: &Path<'_>, new: &Value, old: &Value, key: &str) {
    if text(new, key) != text(old, key) {
        errors.invalid(path, text(new, key), check::IMMUTABLE);
    }
}

fn node_choice(errors: &mut ErrorList, spec: &Value) {
    const CHOICES: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let is_set = |key: &&str| match spec.get(*key) {
        Some(Value::Bool(set)) => *set,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(_)) => true,
        _ => false,
    };
    let set: Vec<String> = CHOICES.iter().filter(|k| is_set(k)).map(|k| format!("`{k}`")).collect();
    let detail =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => errors.required(&SPEC, detail),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            errors.invalid(&SPEC, shown, format!("{detail}, but multiple fields are set"));
        }
    }
}

fn attributes(errors: &mut ErrorList, path: &Path<'_>, device: &Value) {
    const FIELDS: [(&str, &str); 8] = [
        ("IntValue", "int"),
        ("BoolValue", "bool"),
        ("StringValue", "string"),
        ("VersionValue", "version"),
        ("IntValues", "ints"),
        ("BoolValues", "bools"),
        ("StringValues", "strings"),
        ("VersionValues", "versions"),
    ];
    for (key, attribute) in entries(device, "attributes") {
        let identifier = key.rsplit('/').next().unwrap_or(key);
        errors.invalid_each(path, identifier, name::c_identifier(identifier));
        let at = path.key(key);
        let detail = "exactly one value must be specified";
        match FIELDS.iter().filter(|(_, json)| get(attribute, json).is_some()).count() {
            0 => errors.invalid(&at, "", detail),
            1 => {}
            _ => errors.invalid(&at, go_struct(attribute, &FIELDS), detail),
        }
        if let Some(version) = get(attribute, "version").and_then(Value::as_str)
            && !is_semver(version)
        {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.invalid(&at.child("version"), version, detail);
        }
    }
}

/// `1.2.3[-pre][+build]`, <https://semver.org/spec/v2.0.0.html>.
fn is_semver(text: &str) -> bool {
    let identifiers = |part: &str| {
        part.split('.').all(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    let (rest, build) = text.split_once('+').map_or((text, None), |(r, b)| (r, Some(b)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(c, p)| (c, Some(p)));
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |n: &&str| {
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && (n.len() == 1 || !n.starts_with('0'))
    };
    numbers.len() == 3
        && numbers.iter().all(is_number)
        && build.is_none_or(identifiers)
        && pre.is_none_or(identifiers)
}

fn taints(errors: &mut ErrorList, path: &Path<'_>, device: &Value) {
    for (i, taint) in items(device, "taints").iter().enumerate() {
        let path = path.index(i);
        let (key, value) = (text(taint, "key"), text(taint, "value"));
        errors.invalid_each(&path.child("key"), key, name::qualified_name(key));
        if !value.is_empty() {
            errors.invalid_each(&path.child("value"), value, name::label_value(value));
        }
        let effect = text(taint, "effect");
        if effect.is_empty() {
            errors.push(Error::new(ErrorKind::Required, &path.child("effect"), BadValue::Omitted, ""));
        } else {
            check::one_of_if_set(errors, &path.child("effect"), effect, &EFFECTS);
        }
    }
}
