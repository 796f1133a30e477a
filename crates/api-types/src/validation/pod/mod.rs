//! Pods and what they are made of; the templates of workloads share these rules.

mod annotations;
mod container;
mod env;
mod handler;
mod os;
mod projected;
mod resources;
mod scheduling;
mod security;
mod source;
mod spec;
mod status;
mod update;
mod volume;
mod windows;

use serde_json::Value;

use super::check::go_struct;
use super::get::{get, items, text};
use super::{Validator, same};
use crate::field::{ErrorList, Path};
use crate::name;

pub(super) use container::checked_image_whitespace;
pub(super) use resources::{list as validate_resources, quantity_value, resource_name};
pub(super) use scheduling::tolerations as validate_tolerations;
pub(super) use source::{driver_name as validate_driver_name, secret_reference};
pub(super) use spec::validate as validate_spec;
pub(super) use status::validate as validate_status;
pub use update::ephemeral as update_ephemeral;
pub(super) use volume::validate_source as validate_volume_source;

/// Rules of `Pod`.
pub static POD: Validator = Validator { name: name::subdomain_rule, create, update: update::validate };

/// Rules of `PodTemplate`.
pub static POD_TEMPLATE: Validator =
    same(name::subdomain_rule, create_template, |new, _| create_template(new));

const SPEC: Path<'static> = Path::new("spec");
const MIRROR: &str = "kubernetes.io/config.mirror";

fn create(pod: &Value) -> ErrorList {
    let mut errors = spec_rules(pod);
    if !items(&pod["spec"], "ephemeralContainers").is_empty() {
        errors.forbidden(&SPEC.child("ephemeralContainers"), "cannot be set on create");
    }
    if !items(&pod["spec"], "schedulingGates").is_empty() && !text(&pod["spec"], "nodeName").is_empty() {
        errors
            .forbidden(&SPEC.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    errors
}

/// The rules that new and changed pods have in common.
pub fn spec_rules(pod: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &pod["spec"];
    annotations::validate(&mut errors, pod);
    validate_spec(&mut errors, &SPEC, spec);
    volume::claim_names(&mut errors, &SPEC.child("volumes"), pod);
    if text(spec, "serviceAccountName").is_empty() {
        no_tokens(&mut errors, spec);
    }
    checked_image_whitespace(&mut errors, &SPEC, spec);
    errors
}

/// A pod without a service account has no tokens of one.
fn no_tokens(errors: &mut ErrorList, spec: &Value) {
    let path = SPEC.child("volumes");
    for (i, volume) in items(spec, "volumes").iter().enumerate() {
        let path = path.index(i);
        let path = path.child("projected.sources");
        for (i, source) in items(&volume["projected"], "sources").iter().enumerate() {
            if get(source, "serviceAccountToken").is_some() {
                let detail = "must not be specified when serviceAccountName is not set";
                errors.forbidden(&path.index(i).child("serviceAccountToken"), detail);
            }
        }
    }
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
    annotation_keys(errors, &path.child("annotations"), metadata);
    annotations::validate_at(errors, &path.child("annotations"), metadata, &template["spec"]);
    validate_spec(errors, &path.child("spec"), &template["spec"]);
    if !items(&template["spec"], "ephemeralContainers").is_empty() {
        errors.forbidden(
            &path.child("spec.ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

fn annotation_keys(errors: &mut ErrorList, path: &Path<'_>, metadata: &Value) {
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
    annotation_keys(errors, &path.child("annotations"), metadata);
}
