//! Rules of `metadata`, for every kind.

use serde_json::Value;

use super::check::{IMMUTABLE, immutable};
use super::get::{entries, flag, get, int, items, text, texts};
use crate::field::{BadValue, Error, ErrorList, Path};
use crate::name;

const PATH: Path<'static> = Path::new("metadata");
/// All annotations of an object together, in bytes.
const ANNOTATIONS_MAX: usize = 256 * 1024;
const MANAGER_MAX: usize = 128;
const SUBRESOURCE_MAX: usize = 256;
/// Finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Rules for the metadata of a new object. `custom` objects may have finalizers without a domain.
pub fn validate_create(object: &Value, namespaced: bool, rule: name::Rule, custom: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    validate_at(&mut errors, &PATH, &object["metadata"], namespaced, rule);
    if !custom {
        kubernetes_finalizers(&mut errors, &object["metadata"]);
    }
    errors
}

pub(super) fn validate_at(
    errors: &mut ErrorList,
    path: &Path<'_>,
    metadata: &Value,
    namespaced: bool,
    rule: name::Rule,
) {
    let (prefix, name) = (text(metadata, "generateName"), text(metadata, "name"));
    if !prefix.is_empty() {
        errors.invalid_each(&path.child("generateName"), prefix, rule(prefix, true));
    }
    if name.is_empty() {
        errors.required(&path.child("name"), "name or generateName is required");
    } else {
        errors.invalid_each(&path.child("name"), name, rule(name, false));
    }
    let namespace = text(metadata, "namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.required(&path.child("namespace"), ""),
        (true, false) => {
            errors.invalid_each(&path.child("namespace"), namespace, name::dns1123_label(namespace))
        }
        (false, false) => errors.forbidden(&path.child("namespace"), "not allowed on this type"),
        (false, true) => {}
    }
    super::check::not_negative(errors, path, metadata, "generation");
    super::check::labels(errors, path, metadata, "labels");
    annotations(errors, path, metadata);
    owner_references(errors, path, metadata);
    finalizers(errors, &path.child("finalizers"), metadata);
    managed_fields(errors, &path.child("managedFields"), metadata);
}

/// Rules for the metadata of a changed object.
pub fn validate_update(object: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (new, old) = (&object["metadata"], &old["metadata"]);
    if get(old, "deletionTimestamp").is_some() {
        no_new_finalizers(&mut errors, new, old);
    }
    if text(new, "resourceVersion").is_empty() {
        errors.invalid(&PATH.child("resourceVersion"), "", "must be specified for an update");
    }
    let generation = int(new, "generation").unwrap_or(0);
    if generation < int(old, "generation").unwrap_or(0) {
        errors.invalid(&PATH.child("generation"), generation, "must not be decremented");
    }
    for key in ["name", "namespace", "uid", "creationTimestamp"] {
        let (after, before) = (get(new, key), get(old, key));
        if after != before {
            let shown = after.cloned().unwrap_or_else(|| Value::from(""));
            errors.invalid(&PATH.child(key), shown, IMMUTABLE);
        }
    }
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        immutable(&mut errors, &PATH, new, old, key);
    }
    super::check::labels(&mut errors, &PATH, new, "labels");
    annotations(&mut errors, &PATH, new);
    owner_references(&mut errors, &PATH, new);
    managed_fields(&mut errors, &PATH.child("managedFields"), new);
    errors
}

fn annotations(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
    let path = path.child("annotations");
    let mut size = 0;
    for (key, value) in entries(metadata, "annotations") {
        errors.invalid_each(&path, key, name::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_MAX {
        errors.too_long(&path, ANNOTATIONS_MAX);
    }
}

fn owner_references(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
    let path = path.child("ownerReferences");
    let mut controller: Option<String> = None;
    for owner in items(metadata, "ownerReferences") {
        owner_reference(errors, &path, owner);
        if !flag(owner, "controller") {
            continue;
        }
        let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        match &controller {
            None => controller = Some(this),
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                let shown: Vec<String> = items(metadata, "ownerReferences").iter().map(owner_text).collect();
                errors.invalid(&path, BadValue::Raw(format!("[{}]", shown.join(","))), detail);
            }
        }
    }
}

fn owner_reference(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
    let api_version = text(owner, "apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if version.is_empty() {
        errors.invalid(&path.child("apiVersion"), api_version, "version must not be empty");
    }
    for key in ["kind", "name", "uid"] {
        if text(owner, key).is_empty() {
            errors.invalid(&path.child(key), "", "must not be empty");
        }
    }
    let kind = text(owner, "kind");
    if (group, version, kind) == ("", "v1", "Event") {
        let detail = format!("{group}/{version}, Kind={kind} is disallowed from being an owner");
        errors.invalid(path, BadValue::Raw(owner_text(owner)), detail);
    }
}

/// An owner reference in the order of its Go fields.
fn owner_text(owner: &Value) -> String {
    let order = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let parts: Vec<String> =
        order.iter().filter_map(|key| Some(format!("{key:?}:{}", get(owner, key)?))).collect();
    format!("{{{}}}", parts.join(","))
}

fn finalizers(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
    let all: Vec<&str> = texts(metadata, "finalizers").collect();
    for finalizer in &all {
        errors.invalid_each(path, *finalizer, name::qualified_name(finalizer));
    }
    if all.contains(&"orphan") && all.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid(path, metadata["finalizers"].clone(), detail);
    }
}

fn kubernetes_finalizers(errors: &mut ErrorList, metadata: &Value) {
    let path = PATH.child("finalizers");
    for (i, finalizer) in texts(metadata, "finalizers").enumerate() {
        errors.extend(unqualified_finalizer(&path.index(i), finalizer));
    }
}

/// Finalizers have a domain, unless they are the standard ones.
pub(super) fn unqualified_finalizer(path: &Path<'_>, finalizer: &str) -> Option<Error> {
    let fine = finalizer.contains('/') || STANDARD_FINALIZERS.contains(&finalizer);
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    (!fine).then(|| Error::invalid(path, finalizer, detail))
}

fn no_new_finalizers(errors: &mut ErrorList, new: &Value, old: &Value) {
    let before: Vec<&str> = texts(old, "finalizers").collect();
    let mut added: Vec<String> =
        texts(new, "finalizers").filter(|f| !before.contains(f)).map(crate::field::quote).collect();
    added.sort_unstable();
    if !added.is_empty() {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        errors.forbidden(&PATH.child("finalizers"), detail);
    }
}

fn managed_fields(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
    for (i, entry) in items(metadata, "managedFields").iter().enumerate() {
        let path = path.index(i);
        let operation = text(entry, "operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.invalid(&path.child("operation"), operation, "must be `Apply` or `Update`");
        }
        let kind = text(entry, "fieldsType");
        if !matches!(kind, "" | "FieldsV1") {
            errors.invalid(&path.child("fieldsType"), kind, "must be `FieldsV1`");
        }
        let manager = text(entry, "manager");
        if manager.len() > MANAGER_MAX {
            errors.too_long(&path.child("manager"), MANAGER_MAX);
        }
        if manager.chars().any(char::is_control) {
            errors.invalid(&path.child("manager"), manager, "should only contain printable characters");
        }
        if text(entry, "subresource").len() > SUBRESOURCE_MAX {
            errors.too_long(&path.child("subresource"), SUBRESOURCE_MAX);
        }
    }
}
