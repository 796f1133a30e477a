//! Annotations of pods that have become fields and are still read, and the one that marks mirrors of static pods.

use serde_json::Value;

use super::MIRROR;
use crate::field::{ErrorList, Path};
use crate::validation::check;
use crate::validation::get::{entries, get, items, text};

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const POD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Those of a pod.
pub(super) fn validate(errors: &mut ErrorList, pod: &Value) {
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    let path = Path::new("metadata.annotations");
    let mirror = metadata.get("annotations").and_then(|a| get(a, MIRROR));
    if let (Some(value), "") = (mirror, text(spec, "nodeName")) {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.invalid(&path.key(MIRROR), value.clone(), detail);
    }
    validate_at(errors, &path, metadata, spec);
}

/// Those of a pod or a template.
pub(super) fn validate_at(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value, spec: &Value) {
    for (key, value) in entries(metadata, "annotations") {
        let value = value.as_str().unwrap_or_default();
        let at = path.key(key);
        if key == POD_SECCOMP || key.starts_with(CONTAINER_SECCOMP) {
            seccomp(errors, &at, value);
        }
        let Some(container) = key.strip_prefix(APPARMOR) else { continue };
        let known = ["initContainers", "containers", "ephemeralContainers"]
            .iter()
            .flat_map(|list| items(spec, list))
            .any(|c| text(c, "name") == container);
        if !known {
            errors.invalid(&at, container, "container not found");
        }
        let profile =
            matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with("localhost/");
        if !profile {
            errors.invalid(&at, value, format!("invalid AppArmor profile name: {value:?}"));
        }
    }
}

fn seccomp(errors: &mut ErrorList, path: &Path<'_>, profile: &str) {
    match profile.strip_prefix("localhost/") {
        Some(file) => check::descending_path(errors, path, file),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => errors.invalid(path, profile, "must be a valid seccomp profile"),
    }
}
