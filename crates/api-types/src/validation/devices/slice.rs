//! Resource slices: the devices that a driver offers.

use serde_json::Value;

use super::{EFFECTS, SPEC, identifier, limited};
use crate::field::{BadValue, Error, ErrorKind, ErrorList, Path};
use crate::name;
use crate::validation::check::{self, POSITIVE, go_struct, immutable};
use crate::validation::get::{entries, get, int, items, text};
use crate::validation::selector::node_selector;

const ATTRIBUTE_TEXT_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 32;
const DEVICES_MAX: usize = 128;
/// Where devices have taints or share counters.
const RICH_DEVICES_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const POOL_NAME_MAX: usize = 253;

/// A new slice, or a changed one.
pub(super) fn validate(object: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    check::subdomain(&mut errors, &SPEC.child("driver"), text(spec, "driver"));
    let pool = SPEC.child("pool");
    let name = text(&spec["pool"], "name");
    if name.is_empty() {
        errors.required(&pool.child("name"), "");
    } else {
        if name.len() > POOL_NAME_MAX {
            errors.too_long(&pool.child("name"), POOL_NAME_MAX);
        }
        for part in name.split('/') {
            errors.invalid_each(&pool.child("name"), part, name::dns1123_subdomain(part));
        }
    }
    let count = int(&spec["pool"], "resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        errors.invalid(&pool.child("resourceSliceCount"), count, POSITIVE);
    }
    if let Some(generation) = int(&spec["pool"], "generation").filter(|g| *g < 0) {
        let detail = "must be greater than or equal to zero";
        errors.invalid(&pool.child("generation"), generation, detail);
    }
    if let Some(before) = old.map(|o| &o["spec"]) {
        immutable_text(&mut errors, &pool.child("name"), &spec["pool"], &before["pool"], "name");
        immutable_text(&mut errors, &SPEC.child("driver"), spec, before, "driver");
        immutable(&mut errors, &SPEC, spec, before, "nodeName");
    }
    node_choice(&mut errors, spec);
    let path = SPEC.child("devices");
    let rich =
        |device: &Value| !items(device, "taints").is_empty() || !items(device, "consumesCounters").is_empty();
    let max = if items(spec, "devices").iter().any(rich) { RICH_DEVICES_MAX } else { DEVICES_MAX };
    limited(&mut errors, &path, spec, "devices", max);
    let mut names: Vec<&str> = Vec::new();
    for (i, device) in items(spec, "devices").iter().enumerate() {
        let path = path.index(i);
        let name = text(device, "name");
        check::label(&mut errors, &path.child("name"), name);
        if names.contains(&name) {
            errors.duplicate(&path, name);
        }
        names.push(name);
        let count = entries(device, "attributes").count() + entries(device, "capacity").count();
        if count > ATTRIBUTES_MAX {
            let detail =
                format!("the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}");
            errors.invalid(&path, count, detail);
        }
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
    if let Some(node) = get(spec, "nodeName").and_then(Value::as_str) {
        let path = SPEC.child("nodeName");
        if node.is_empty() {
            errors.invalid(&path, node, "must be either unset or set to a non-empty string");
        }
        errors.invalid_each(
            &path,
            node,
            if node.is_empty() { Vec::new() } else { name::dns1123_subdomain(node) },
        );
    }
    if let Some(selector) = get(spec, "nodeSelector") {
        let path = SPEC.child("nodeSelector");
        node_selector(errors, &path, selector, true);
        if items(selector, "nodeSelectorTerms").len() != 1 {
            let shown = check::internal_list("core/v1.NodeSelectorTerm", get(selector, "nodeSelectorTerms"));
            errors.invalid(
                &path.child("nodeSelectorTerms"),
                shown,
                "must have exactly one node selector term",
            );
        }
    }
    for key in ["allNodes", "perDeviceNodeSelection"] {
        if spec.get(key) == Some(&Value::Bool(false)) {
            errors.invalid(&SPEC.child(key), false, "must be either unset or set to true");
        }
    }
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
        identifier(errors, path, key.rsplit('/').next().unwrap_or(key));
        let at = path.key(key);
        let detail = "exactly one value must be specified";
        match FIELDS.iter().filter(|(_, json)| get(attribute, json).is_some()).count() {
            0 => errors.invalid(&at, "", detail),
            1 => {}
            _ => errors.invalid(&at, go_struct(attribute, &FIELDS), detail),
        }
        for kind in ["string", "version"] {
            if text(attribute, kind).len() > ATTRIBUTE_TEXT_MAX {
                errors.too_long(&at.child(kind), ATTRIBUTE_TEXT_MAX);
            }
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
    limited(errors, path, device, "taints", TAINTS_MAX);
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
