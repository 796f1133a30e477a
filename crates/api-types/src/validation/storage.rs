//! Persistent volumes, claims and storage classes.

use serde_json::Value;

use super::check::{self, POSITIVE, immutable};
use super::get::{at, entries, get, has_entries, items, quantity, text, texts};
use super::selector::{label_name, label_selector, node_selector};
use super::{Validator, pod};
use crate::field::{ErrorList, Path};
use crate::{go_dump, name};

/// Rules of `PersistentVolumeClaim`.
pub static PERSISTENT_VOLUME_CLAIM: Validator =
    Validator { name: name::subdomain_rule, create: claim, update: claim_update };
/// Rules of `PersistentVolume`.
pub static PERSISTENT_VOLUME: Validator =
    Validator { name: name::subdomain_rule, create: volume, update: volume_update };
/// Rules of `StorageClass`.
pub static STORAGE_CLASS: Validator =
    Validator { name: name::subdomain_rule, create: class, update: class_update };

const SPEC: Path<'static> = Path::new("spec");
const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const MODES: [&str; 2] = ["Block", "Filesystem"];
const ONE_POD: &str = "may not use ReadWriteOncePod with other access modes";

fn claim(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    claim_spec(&mut errors, &SPEC, &object["spec"]);
    errors
}

/// The spec of a claim, or of a template for one.
pub(super) fn claim_spec(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    if items(spec, "accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    label_selector(errors, &path.child("selector"), get(spec, "selector"));
    access_modes(errors, &path.child("accessModes"), spec);
    let storage = path.child("resources");
    let storage = storage.key("storage");
    match at(spec, "/resources/requests/storage") {
        None => errors.required(&storage, ""),
        Some(amount) if quantity(amount).signum() <= 0 => errors.invalid(&storage, amount.clone(), POSITIVE),
        Some(_) => {}
    }
    for key in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(spec, key);
        if !class.is_empty() {
            errors.invalid_each(&path.child(key), class, name::dns1123_subdomain(class));
        }
    }
    check::one_of_if_set(errors, &path.child("volumeMode"), text(spec, "volumeMode"), &MODES);
    let (source, reference) = (get(spec, "dataSource"), get(spec, "dataSourceRef"));
    for (key, value) in [("dataSource", source), ("dataSourceRef", reference)] {
        if let Some(value) = value {
            data_source(errors, &path.child(key), value);
        }
    }
    let same = |a: &Value, b: &Value| ["apiGroup", "kind", "name"].iter().all(|k| get(a, k) == get(b, k));
    if let (Some(source), Some(reference)) = (source, reference)
        && !same(source, reference)
    {
        // Upstream shows the path object here, which has no visible fields.
        errors.invalid(path, serde_json::json!({}), "must match dataSourceRef");
    }
}

fn data_source(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    for key in ["name", "kind"] {
        if text(source, key).is_empty() {
            errors.required(&path.child(key), "");
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() {
        errors.invalid_each(&path.child("apiGroup"), group, name::dns1123_subdomain(group));
    }
}

fn access_modes(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let modes: Vec<&str> = texts(spec, "accessModes").collect();
    for mode in &modes {
        check::one_of_if_set(errors, path, mode, &ACCESS_MODES);
    }
    if modes.len() > 1 && modes.contains(&"ReadWriteOncePod") {
        errors.forbidden(path, ONE_POD);
    }
}

fn claim_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = claim(new);
    let is_bound = at(old, "/status/phase").and_then(Value::as_str) == Some("Bound");
    let had_name = !text(&old["spec"], "volumeName").is_empty();
    let had_class = get(&old["spec"], "storageClassName").is_some();
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        let Some(map) = spec.as_object_mut() else { return spec };
        if !had_name {
            map.remove("volumeName");
        }
        if !had_class {
            map.remove("storageClassName");
        }
        map.remove("volumeAttributesClassName");
        if is_bound && let Some(resources) = map.get_mut("resources").and_then(Value::as_object_mut) {
            resources.remove("requests");
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
            bound claims";
        let difference =
            go_dump::difference("core/v1.PersistentVolumeClaimSpec", &old["spec"], &munged_claim(new, old));
        errors.forbidden(&SPEC, format!("{detail}\n{difference}"));
    }
    let storage = "/spec/resources/requests/storage";
    if let (Some(size), Some(before)) = (at(new, storage), at(old, storage))
        && quantity(size) < quantity(before)
        && at(old, "/status/capacity/storage").is_none_or(|c| quantity(size) < quantity(c))
    {
        let detail = "field can not be less than status.capacity";
        errors.forbidden(&SPEC.child("resources.requests.storage"), detail);
    }
    immutable(&mut errors, &SPEC, &new["spec"], &old["spec"], "volumeMode");
    errors
}

/// The new spec with what may have changed as it was.
fn munged_claim(new: &Value, old: &Value) -> Value {
    let (mut spec, before) = (new["spec"].clone(), &old["spec"]);
    let Some(map) = spec.as_object_mut() else { return spec };
    let mut keep = |key: &str| match get(before, key) {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
    if text(before, "volumeName").is_empty() {
        keep("volumeName");
    }
    if get(before, "storageClassName").is_none() {
        keep("storageClassName");
    }
    keep("volumeAttributesClassName");
    if at(old, "/status/phase").and_then(Value::as_str) == Some("Bound")
        && let Some(resources) = map.get_mut("resources").and_then(Value::as_object_mut)
    {
        match at(before, "/resources/requests") {
            Some(requests) => resources.insert("requests".to_owned(), requests.clone()),
            None => resources.remove("requests"),
        };
    }
    spec
}

fn volume(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    if items(spec, "accessModes").is_empty() {
        errors.required(&SPEC.child("accessModes"), "");
    }
    access_modes(&mut errors, &SPEC.child("accessModes"), spec);
    capacity(&mut errors, &SPEC.child("capacity"), spec);
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    let path = SPEC.child("persistentVolumeReclaimPolicy");
    check::one_of_if_set(&mut errors, &path, policy, &["Delete", "Recycle", "Retain"]);
    if let Some(required) = at(spec, "/nodeAffinity/required") {
        node_selector(&mut errors, &SPEC.child("nodeAffinity.required"), required, true);
    } else if get(spec, "nodeAffinity").is_some() {
        errors.required(&SPEC.child("nodeAffinity.required"), "must specify required node constraints");
    }
    source(&mut errors, spec);
    let host_path = at(spec, "/hostPath/path").and_then(Value::as_str).unwrap_or_default();
    if policy == "Recycle" && !host_path.is_empty() && host_path.trim_matches('/').is_empty() {
        errors.forbidden(&path, "may not be 'recycle' for a hostPath mount of '/'");
    }
    for key in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(spec, key);
        if !class.is_empty() {
            errors.invalid_each(&SPEC.child(key), class, name::dns1123_subdomain(class));
        }
    }
    check::one_of_if_set(&mut errors, &SPEC.child("volumeMode"), text(spec, "volumeMode"), &MODES);
    errors
}

fn capacity(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    if !has_entries(spec, "capacity") {
        errors.required(path, "");
    }
    let listed: Vec<&str> = entries(spec, "capacity").map(|(k, _)| k).collect();
    if listed != ["storage"] {
        let shown = get(spec, "capacity").cloned().unwrap_or_else(|| serde_json::json!({}));
        errors.not_supported(path, shown, &["storage"]);
    }
    for (resource, amount) in entries(spec, "capacity") {
        if quantity(amount).signum() <= 0 {
            errors.invalid(&path.key(resource), amount.clone(), POSITIVE);
        }
    }
}

fn source(errors: &mut ErrorList, spec: &Value) {
    let mut found = pod::validate_volume_source(errors, &SPEC, spec);
    if let Some(local) = get(spec, "local") {
        let path = SPEC.child("local");
        if found {
            errors.forbidden(&path, "may not specify more than 1 volume type");
        } else if text(local, "path").is_empty() {
            errors.required(&path.child("path"), "");
        } else {
            check::no_backsteps(errors, &path.child("path"), text(local, "path"));
        }
        found = true;
        if get(spec, "nodeAffinity").is_none() {
            errors.required(&SPEC.child("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if let Some(csi) = get(spec, "csi") {
        let path = SPEC.child("csi");
        if text(csi, "volumeHandle").is_empty() {
            errors.required(&path.child("volumeHandle"), "");
        }
        for key in [
            "controllerPublishSecretRef",
            "controllerExpandSecretRef",
            "nodePublishSecretRef",
            "nodeExpandSecretRef",
        ] {
            pod::secret_reference(errors, &path.child(key), get(csi, key));
        }
    }
    if !found {
        errors.required(&SPEC, "must specify a volume type");
    }
}

fn volume_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = volume(new);
    let source = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(map) = spec.as_object_mut() {
            for key in [
                "capacity",
                "accessModes",
                "claimRef",
                "persistentVolumeReclaimPolicy",
                "storageClassName",
                "mountOptions",
                "volumeMode",
                "nodeAffinity",
                "volumeAttributesClassName",
            ] {
                map.remove(key);
            }
        }
        spec
    };
    if source(new) != source(old) {
        let kind = "core/v1.PersistentVolumeSource";
        let difference = go_dump::difference(kind, &source(old), &source(new));
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
        errors.forbidden(&SPEC.child("persistentvolumesource"), detail);
    }
    let affinity = |object: &'_ Value| get(&object["spec"], "nodeAffinity").cloned();
    if let Some(before) = affinity(old)
        && affinity(new) != Some(before)
    {
        let shown = check::internal("core/v1.VolumeNodeAffinity", get(&new["spec"], "nodeAffinity"));
        errors.invalid(
            &Path::new("nodeAffinity"),
            shown,
            "field is immutable, except for updating from beta label to GA",
        );
    }
    immutable(&mut errors, &Path::ROOT, &new["spec"], &old["spec"], "volumeMode");
    errors
}

fn class(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let provisioner = text(object, "provisioner");
    if provisioner.is_empty() {
        errors.required(&Path::new("provisioner"), "");
    } else {
        let wrong = name::qualified_name(&provisioner.to_lowercase());
        errors.invalid_each(&Path::new("provisioner"), provisioner, wrong);
    }
    for (key, _) in entries(object, "parameters").filter(|(k, _)| k.is_empty()) {
        errors.invalid(&Path::new("parameters"), key, "field can not be empty.");
    }
    let policy = text(object, "reclaimPolicy");
    check::one_of_if_set(&mut errors, &Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    let mode = text(object, "volumeBindingMode");
    let modes = ["Immediate", "WaitForFirstConsumer"];
    check::one_of(&mut errors, &Path::new("volumeBindingMode"), mode, &modes);
    let path = Path::new("allowedTopologies");
    for (i, term) in items(object, "allowedTopologies").iter().enumerate() {
        topology_term(&mut errors, &path.index(i).child("matchLabelExpressions"), term);
    }
    errors
}

fn topology_term(errors: &mut ErrorList, path: &Path<'_>, term: &Value) {
    let mut keys: Vec<&str> = Vec::new();
    for (i, requirement) in items(term, "matchLabelExpressions").iter().enumerate() {
        let path = path.index(i);
        let values: Vec<&str> = texts(requirement, "values").collect();
        let at = path.child("values");
        if values.is_empty() {
            errors.required(&at, "");
        }
        for (i, value) in values.iter().enumerate() {
            if values[..i].contains(value) {
                errors.duplicate(&at.index(i), *value);
            }
        }
        let key = text(requirement, "key");
        label_name(errors, &path.child("key"), key);
        if keys.contains(&key) {
            errors.duplicate(&path.child("key"), key);
        }
        keys.push(key);
    }
}

fn class_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if get(new, "parameters") != get(old, "parameters") {
        errors.forbidden(&Path::new("parameters"), "updates to parameters are forbidden.");
    }
    immutable(&mut errors, &Path::ROOT, new, old, "provisioner");
    if get(new, "reclaimPolicy") != get(old, "reclaimPolicy") {
        errors.forbidden(&Path::new("reclaimPolicy"), "updates to reclaimPolicy are forbidden.");
    }
    immutable(&mut errors, &Path::ROOT, new, old, "volumeBindingMode");
    errors.append(class(new));
    errors
}
