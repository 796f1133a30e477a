//! Pods and what they are made of; the templates of workloads share these rules.

mod container;
mod env;
mod handler;
mod os;
mod projected;
mod resources;
mod scheduling;
mod security;
mod spec;
mod update;
mod volume;

use serde_json::Value;

use super::check::go_struct;
use super::get::{at, get, items, text};
use super::{Validator, same};
use crate::field::{ErrorList, Path};
use crate::name;

pub(super) use container::checked_image_whitespace;
pub(super) use resources::{list as validate_resources, quantity_value, resource_name};
pub(super) use scheduling::tolerations as validate_tolerations;
pub(super) use spec::validate as validate_spec;
pub(super) use volume::{driver_name as validate_driver_name, validate_source as validate_volume_source};

/// Rules of `Pod`.
pub static POD: Validator = Validator { name: name::subdomain_rule, create, update: update::validate };

/// Rules of `PodTemplate`.
pub static POD_TEMPLATE: Validator =
    same(name::subdomain_rule, create_template, |new, _| create_template(new));

const SPEC: Path<'static> = Path::new("spec");
const MIRROR: &str = "kubernetes.io/config.mirror";

fn create(pod: &Value) -> ErrorList {
    let mut errors = metadata_and_spec(pod);
    if !items(&pod["spec"], "ephemeralContainers").is_empty() {
        errors.forbidden(&SPEC.child("ephemeralContainers"), "cannot be set on create");
    }
    if !items(&pod["spec"], "schedulingGates").is_empty() && !text(&pod["spec"], "nodeName").is_empty() {
        errors
            .forbidden(&SPEC.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    errors
}

/// What new and changed pods have in common.
fn metadata_and_spec(pod: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &pod["spec"];
    let mirror = at(pod, "/metadata/annotations").and_then(|a| get(a, MIRROR));
    if let (Some(value), "") = (mirror, text(spec, "nodeName")) {
        let path = Path::new("metadata.annotations");
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.invalid(&path.key(MIRROR), value.clone(), detail);
    }
    validate_spec(&mut errors, &SPEC, spec);
    checked_image_whitespace(&mut errors, &SPEC, spec);
    errors
}

fn create_template(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    template(&mut errors, &Path::new("template"), &object["template"]);
    errors
}

/// A `PodTemplateSpec`.
pub(super) fn template(errors: &mut ErrorList, path: &Path<'_>, template: &Value) {
    let metadata = &template["metadata"];
    super::check::labels(errors, path, metadata, "labels");
    annotations(errors, &path.child("annotations"), metadata);
    validate_spec(errors, &path.child("spec"), &template["spec"]);
    if !items(&template["spec"], "ephemeralContainers").is_empty() {
        errors.forbidden(
            &path.child("spec.ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

fn annotations(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
    for (key, _) in super::get::entries(metadata, "annotations") {
        errors.invalid_each(path, key, name::qualified_name(&key.to_lowercase()));
    }
}

/// `spec.resourceClaims`.
fn resource_claims(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    const GO: [(&str, &str); 3] = [
        ("Name", "name"),
        ("ResourceClaimName", "resourceClaimName"),
        ("ResourceClaimTemplateName", "resourceClaimTemplateName"),
    ];
    let mut names: Vec<&str> = Vec::new();
    for (i, claim) in items(spec, "resourceClaims").iter().enumerate() {
        let path = path.index(i);
        let name = text(claim, "name");
        if names.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        } else {
            super::check::label(errors, &path.child("name"), name);
            names.push(name);
        }
        let sources = [get(claim, "resourceClaimName"), get(claim, "resourceClaimTemplateName")];
        match sources {
            [Some(_), Some(_)] => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&path, go_struct(claim, &GO), detail);
            }
            [None, None] => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&path, go_struct(claim, &GO), detail);
            }
            _ => {}
        }
        for key in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(value) = get(claim, key).and_then(Value::as_str) {
                errors.invalid_each(&path.child(key), value, name::dns1123_subdomain(value));
            }
        }
    }
}

/// Metadata of an object inside another, such as a volume claim template.
pub(super) fn embedded_metadata(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
    super::check::labels(errors, path, metadata, "labels");
    annotations(errors, &path.child("annotations"), metadata);
}
