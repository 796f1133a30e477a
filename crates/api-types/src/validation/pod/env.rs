//! Environment variables and the references that volumes share with them.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::check;
use crate::validation::get::{get, items, quantity, text};

/// Fields that an environment variable may take.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a downward API file may hold.
pub(super) const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const POD_FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, container: &Value) {
    for (i, variable) in items(container, "env").iter().enumerate() {
        let path = path.index(i);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            errors.invalid_each(&path.child("name"), name, name::env_var(name));
        }
        value_from(errors, &path.child("valueFrom"), variable);
    }
}

fn value_from(errors: &mut ErrorList, path: &Path<'_>, variable: &Value) {
    let Some(source) = get(variable, "valueFrom") else { return };
    let mut sources = 0;
    if let Some(field) = get(source, "fieldRef") {
        sources += 1;
        field_ref(errors, &path.child("fieldRef"), field, &ENV_FIELDS);
    }
    if let Some(resource) = get(source, "resourceFieldRef") {
        sources += 1;
        resource_ref(errors, &path.child("resourceFieldRef"), resource, false);
    }
    for key in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = get(source, key) {
            sources += 1;
            key_ref(errors, &path.child(key), reference);
        }
    }
    if let Some(reference) = get(source, "fileKeyRef") {
        sources += 1;
        file_ref(errors, &path.child("fileKeyRef"), reference);
    }
    let detail = match (sources, text(variable, "value").is_empty()) {
        (0, _) => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        (_, false) => "may not be specified when `value` is not empty",
        (2.., true) => "may not have more than one field specified at a time",
        _ => return,
    };
    errors.invalid(path, "", detail);
}

fn key_ref(errors: &mut ErrorList, path: &Path<'_>, reference: &Value) {
    let (name, key) = (text(reference, "name"), text(reference, "key"));
    errors.invalid_each(&path.child("name"), name, name::dns1123_subdomain(name));
    if key.is_empty() {
        errors.required(&path.child("key"), "");
    } else {
        errors.invalid_each(&path.child("key"), key, name::config_map_key(key));
    }
}

/// A variable in a file of a volume (KEP-3721).
fn file_ref(errors: &mut ErrorList, path: &Path<'_>, reference: &Value) {
    let key = text(reference, "key");
    if key.is_empty() {
        errors.required(&path.child("key"), "");
    } else {
        errors.invalid_each(&path.child("key"), key, name::env_var(key));
    }
    if text(reference, "volumeName").is_empty() {
        errors.required(&path.child("volumeName"), "");
    }
    let file = text(reference, "path");
    if file.is_empty() {
        errors.required(&path.child("path"), "");
    } else {
        check::unreserved_path(errors, &path.child("path"), file);
    }
}

/// An `ObjectFieldSelector` limited to `allowed` fields.
pub(super) fn field_ref(errors: &mut ErrorList, path: &Path<'_>, field: &Value, allowed: &[&str]) {
    let (version, label) = (text(field, "apiVersion"), text(field, "fieldPath"));
    if version.is_empty() {
        return errors.required(&path.child("apiVersion"), "");
    }
    if label.is_empty() {
        return errors.required(&path.child("fieldPath"), "");
    }
    let at = path.child("fieldPath");
    let subscripted = label.strip_suffix("']").and_then(|l| l.split_once("['"));
    let why = match subscripted {
        _ if version != "v1" => Some(format!("unsupported pod version: {version}")),
        Some(("metadata.annotations" | "metadata.labels", _)) => None,
        Some(_) => Some(format!("field label does not support subscript: {label}")),
        None if POD_FIELDS.contains(&label) => None,
        None => Some(format!("field label not supported: {label}")),
    };
    if let Some(why) = why {
        return errors.invalid(&at, label, format!("error converting fieldPath: {why}"));
    }
    match subscripted {
        Some(("metadata.annotations", key)) => {
            errors.invalid_each(path, key.to_lowercase(), name::qualified_name(&key.to_lowercase()));
        }
        Some((_, key)) => errors.invalid_each(path, key, name::qualified_name(key)),
        None if !allowed.contains(&label) => errors.not_supported(&at, label, allowed),
        None => {}
    }
}

/// A `ResourceFieldSelector`; a volume's names its container.
pub(super) fn resource_ref(errors: &mut ErrorList, path: &Path<'_>, reference: &Value, volume: bool) {
    let resource = text(reference, "resource");
    let is_huge_pages =
        resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if volume && text(reference, "containerName").is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&path.child("resource"), "");
    } else if !RESOURCES.contains(&resource) && !is_huge_pages {
        errors.not_supported(&path.child("resource"), resource, &RESOURCES);
    }
    divisor(errors, &path.child("divisor"), resource, reference);
}

fn divisor(errors: &mut ErrorList, path: &Path<'_>, resource: &str, reference: &Value) {
    const SIZES: [&str; 13] =
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let Some(divisor) = get(reference, "divisor").map(quantity).filter(|d| !d.is_zero()) else { return };
    let (kind, allowed) = match resource {
        "limits.cpu" | "requests.cpu" => ("cpu", &["1m", "1"][..]),
        "limits.memory" | "requests.memory" => ("memory", &SIZES[..]),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => ("local ephemeral storage", &SIZES[..]),
        other if other.contains(".hugepages-") => ("hugepages", &SIZES[..]),
        _ => return,
    };
    if !allowed.iter().any(|a| a.parse() == Ok(divisor)) {
        let list = if kind == "cpu" { "1m and 1".to_owned() } else { SIZES.join(", ") };
        errors.invalid(
            path,
            resource,
            format!("only divisor's values {list} are supported with the {kind} resource"),
        );
    }
}

pub(super) fn validate_from(errors: &mut ErrorList, path: &Path<'_>, container: &Value) {
    for (i, source) in items(container, "envFrom").iter().enumerate() {
        let at = path.index(i);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            errors.invalid_each(&at.child("prefix"), prefix, name::env_var(prefix));
        }
        let mut sources = 0;
        for key in ["configMapRef", "secretRef"] {
            if let Some(reference) = get(source, key) {
                sources += 1;
                check::reference_name(errors, &at.child(key), reference);
            }
        }
        match sources {
            0 => errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(path, "", "may not have more than one field specified at a time"),
        }
    }
}
