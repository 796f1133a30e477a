//! What may change in a stored pod: images, deadlines, more tolerations, fewer scheduling gates.

use serde_json::Value;

use super::{MIRROR, SPEC, spec_rules};
use crate::field::{BadValue, Error, ErrorList, Path};
use crate::go_dump;
use crate::name;
use crate::validation::check::{internal, internal_list};
use crate::validation::get::{at, entries, get, int, items, text};

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate(pod: &Value, old: &Value) -> ErrorList {
    let mut errors = spec_rules(pod);
    annotations(&mut errors, pod, old);
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
        node_affinity(&mut errors, spec, before);
    }
    if !errors.is_empty() {
        return errors;
    }
    let munged = munged(spec, before, gated);
    if munged != *before {
        let difference = go_dump::difference("core/v1.PodSpec", before, &munged);
        errors.forbidden(&SPEC, format!("{FIXED}\n{difference}"));
    }
    errors
}

/// Ephemeral containers come, and stay as they are (KEP-277).
pub fn ephemeral(pod: &Value, old: &Value) -> ErrorList {
    if at(old, "/metadata/annotations").is_some_and(|a| get(a, MIRROR).is_some()) {
        return Error::forbidden(&Path::ROOT, "static pods do not support ephemeral containers").into();
    }
    let mut errors = spec_rules(pod);
    let path = SPEC.child("ephemeralContainers");
    let new = items(&pod["spec"], "ephemeralContainers");
    for before in items(&old["spec"], "ephemeralContainers") {
        let name = text(before, "name");
        let detail = match new.iter().find(|container| text(container, "name") == name) {
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
            Some(after) if after != before => {
                let difference = go_dump::difference("core/v1.EphemeralContainer", before, after);
                format!("existing ephemeral containers {name:?} may not be changed\n{difference}")
            }
            Some(_) => continue,
        };
        errors.forbidden(&path, detail);
    }
    errors
}

/// Annotations that the kubelet reads as fields.
pub(super) fn annotations(errors: &mut ErrorList, pod: &Value, old: &Value) {
    let path = Path::new("metadata.annotations");
    let of = |pod: &'_ Value| at(pod, "/metadata/annotations").cloned().unwrap_or(Value::Null);
    let (new, before) = (of(pod), of(old));
    for (key, value) in before.as_object().into_iter().flatten() {
        if new.get(key) == Some(value) {
            continue;
        }
        if key.starts_with(APPARMOR) {
            errors.forbidden(&path.key(key), "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path.key(key), "may not remove or update mirror pod annotation");
        }
    }
    for (key, _) in new.as_object().into_iter().flatten().filter(|(key, _)| before.get(key).is_none()) {
        if key.starts_with(APPARMOR) {
            errors.forbidden(&path.key(key), "may not add AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path.key(key), "may not add mirror pod annotation");
        }
    }
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

/// A gated pod's required node affinity keeps its terms, each of which may only ask for more.
fn node_affinity(errors: &mut ErrorList, spec: &Value, old: &Value) {
    let required = |spec: &'_ Value| spec.pointer("/affinity/nodeAffinity").map(|n| n[REQUIRED].clone());
    let before = required(old).unwrap_or(Value::Null);
    let terms = items(&before, "nodeSelectorTerms");
    if terms.is_empty() {
        return;
    }
    let new = required(spec).unwrap_or(Value::Null);
    let path = SPEC.child("affinity.nodeAffinity");
    let path = path.child(REQUIRED);
    let path = path.child("nodeSelectorTerms");
    let new_terms = items(&new, "nodeSelectorTerms");
    if new_terms.len() != terms.len() {
        let shown = internal_list("core/v1.NodeSelectorTerm", get(&new, "nodeSelectorTerms"));
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errors.invalid(&path, shown, detail);
    }
    for (i, (term, before)) in new_terms.iter().zip(terms).enumerate() {
        // An empty term matches nothing: anything added to it would match more.
        let was_empty = ["matchExpressions", "matchFields"].iter().all(|key| items(before, key).is_empty());
        let keeps = |key: &str| items(before, key).iter().all(|r| items(term, key).contains(r));
        let grew = term != before;
        if (was_empty && grew) || !keeps("matchExpressions") || !keeps("matchFields") {
            let shown = internal("core/v1.NodeSelectorTerm", Some(term));
            errors.invalid(&path.index(i), shown, "only additions are allowed (no mutations or deletions)");
        }
    }
}

/// The new spec with everything that may change as it was.
fn munged(spec: &Value, old: &Value, gated: bool) -> Value {
    let mut munged = spec.clone();
    for list in ["containers", "initContainers"] {
        let containers = munged.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, before) in containers.zip(items(old, list)) {
            set(container, "image", get(before, "image"));
        }
    }
    for key in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        set(&mut munged, key, get(old, key));
    }
    let seconds = |spec: &Value| int(spec, "terminationGracePeriodSeconds");
    if seconds(old).is_some_and(|s| s < 0) && seconds(spec) == Some(1) {
        set(&mut munged, "terminationGracePeriodSeconds", get(old, "terminationGracePeriodSeconds"));
    }
    if gated {
        set(&mut munged, "nodeSelector", get(old, "nodeSelector"));
        let node = at(old, "/affinity/nodeAffinity");
        let alone = |spec: &Value| {
            spec["affinity"].as_object().is_none_or(|a| a.keys().all(|key| key == "nodeAffinity"))
        };
        if alone(spec) && alone(old) {
            set(&mut munged, "affinity", get(old, "affinity"));
        } else {
            if munged["affinity"].is_null() {
                set(&mut munged, "affinity", Some(&serde_json::json!({})));
            }
            set(&mut munged["affinity"], "nodeAffinity", node);
        }
    }
    munged
}

fn set(owner: &mut Value, key: &str, value: Option<&Value>) {
    let Some(map) = owner.as_object_mut() else { return };
    match value {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
}
