//! What may change in a stored pod: images, deadlines, more tolerations, fewer scheduling gates.

use serde_json::Value;

use super::{SPEC, metadata_and_spec};
use crate::field::{BadValue, Error, ErrorList};
use crate::name;
use crate::validation::get::{entries, get, int, items, text};

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(pod: &Value, old: &Value) -> ErrorList {
    let mut errors = metadata_and_spec(pod);
    let (spec, before) = (&pod["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if !same_containers(&mut errors, list, spec, before) {
            return errors;
        }
    }
    if let Some(error) = deadline(spec, before) {
        errors.push(error);
        return errors;
    }
    tolerations(&mut errors, spec, before);
    gates(&mut errors, spec, before);
    let gated = !items(before, "schedulingGates").is_empty();
    if gated {
        node_selector(&mut errors, spec, before);
    }
    if !errors.is_empty() {
        return errors;
    }
    if fixed_part(spec, gated) != fixed_part(before, gated) {
        errors.forbidden(&SPEC, FIXED);
    }
    errors
}

/// Containers stay the same in number, and keep having images. Tells whether the comparison can go on.
fn same_containers(errors: &mut ErrorList, list: &str, spec: &Value, old: &Value) -> bool {
    let path = SPEC.child(list);
    let (new, old) = (items(spec, list), items(old, list));
    if new.len() != old.len() {
        errors.forbidden(&path, "pod updates may not add or remove containers");
        return false;
    }
    for (i, container) in new.iter().enumerate() {
        let image = text(container, "image");
        if image.is_empty() {
            errors.required(&path.index(i).child("image"), "");
        } else if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            errors.invalid(&path.index(i).child("image"), image, detail);
        }
    }
    true
}

fn deadline(spec: &Value, old: &Value) -> Option<Error> {
    let path = SPEC.child("activeDeadlineSeconds");
    let max = i64::from(i32::MAX);
    match (int(spec, "activeDeadlineSeconds"), int(old, "activeDeadlineSeconds")) {
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            Some(Error::invalid(&path, BadValue::Json(Value::Null), detail))
        }
        (Some(new), _) if !(0..=max).contains(&new) => {
            Some(Error::invalid(&path, new, name::in_range(new, 0, max).concat()))
        }
        (Some(new), Some(old)) if new > old => {
            Some(Error::invalid(&path, new, "must be less than or equal to previous value"))
        }
        _ => None,
    }
}

fn tolerations(errors: &mut ErrorList, spec: &Value, old: &Value) {
    let without_seconds = |toleration: &Value| {
        let mut copy = toleration.clone();
        if let Some(map) = copy.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        copy
    };
    let new: Vec<Value> = items(spec, "tolerations").iter().map(without_seconds).collect();
    if items(old, "tolerations").iter().any(|t| !new.contains(&without_seconds(t))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.forbidden(&SPEC.child("tolerations"), detail);
    }
}

fn gates(errors: &mut ErrorList, spec: &Value, old: &Value) {
    let before: Vec<&str> = items(old, "schedulingGates").iter().map(|g| text(g, "name")).collect();
    let path = SPEC.child("schedulingGates");
    for (i, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let gate = text(gate, "name");
        if !before.contains(&gate) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{gate}'");
            errors.forbidden(&path.index(i).child("name"), detail);
        }
    }
}

/// A gated pod's node selector may only become narrower (KEP-3838).
fn node_selector(errors: &mut ErrorList, spec: &Value, old: &Value) {
    if entries(old, "nodeSelector").any(|(key, value)| get(&spec["nodeSelector"], key) != Some(value)) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(&SPEC.child("nodeSelector"), BadValue::maybe(get(spec, "nodeSelector")), detail);
    }
}

/// The spec without what may change.
fn fixed_part(spec: &Value, gated: bool) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(map) = container.as_object_mut() {
                map.remove("image");
            }
        }
    }
    if let Some(map) = spec.as_object_mut() {
        for key in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            map.remove(key);
        }
        if gated {
            map.remove("nodeSelector");
            map.remove("affinity");
        }
        if map.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|s| s <= 1) {
            map.remove("terminationGracePeriodSeconds");
        }
    }
    spec
}
