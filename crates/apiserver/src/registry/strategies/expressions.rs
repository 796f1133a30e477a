//! Resources whose expressions must compile before they are stored.

use std::sync::LazyLock;

use api_types::field::{ErrorList, Path};
use expression::{Environment, Type};
use serde_json::Value;

use super::warnings::{self, Warnings};
use crate::admission::{policy, webhook};
use crate::registry::strategy::{Base, Strategy};

/// What is wrong with an object's expressions.
type Compile = fn(&Value) -> ErrorList;

/// A resource that is described by its traits, beside its expressions.
pub struct Expressions {
    base: Base,
    warnings: Warnings,
    compile: Compile,
}

/// Which resources have expressions, and what judges them.
pub fn of(group: &str, plural: &str) -> Option<Compile> {
    Some(match (group, plural) {
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => policy::compile_validating,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => policy::compile_mutating,
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations" | "mutatingwebhookconfigurations",
        ) => webhook::check_conditions,
        ("resource.k8s.io", "deviceclasses") => device_class,
        ("resource.k8s.io", "resourceclaims") => |claim| device_claim(&Path::new("spec"), &claim["spec"]),
        ("resource.k8s.io", "resourceclaimtemplates") => {
            |template| device_claim(&Path::new("spec.spec"), &template["spec"]["spec"])
        }
        _ => return None,
    })
}

impl Expressions {
    /// The strategy of a resource that has these traits.
    pub fn new(base: Base, group: &str, plural: &str, compile: Compile) -> Self {
        Self { base, warnings: warnings::of(group, plural), compile }
    }
}

impl Strategy for Expressions {
    fn base(&self) -> &Base {
        &self.base
    }

    fn validate_create(&self, object: &Value) -> ErrorList {
        (self.compile)(object)
    }

    fn validate_update(&self, subresource: &str, object: &Value, old: &Value) -> ErrorList {
        // What is stored already was accepted, perhaps by a server that knows more.
        let changed = ["spec", "webhooks"].iter().any(|part| object[part] != old[part]);
        match subresource.is_empty() && changed {
            true => (self.compile)(object),
            false => ErrorList::new(),
        }
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        (self.warnings)(object, old)
    }
}

/// What selectors of devices see.
static DEVICES: LazyLock<Environment> = LazyLock::new(|| {
    let by_domain = |value: Type| Type::map(Type::String, Type::map(Type::String, value));
    let device = [
        ("driver".to_owned(), Type::String),
        ("attributes".to_owned(), by_domain(Type::Dyn)),
        ("capacity".to_owned(), by_domain(Type::Opaque("kubernetes.Quantity"))),
        ("allowMultipleAllocations".to_owned(), Type::Bool),
    ];
    Environment::new().with("device", Type::object("kubernetes.DRADevice", device))
});

fn device_class(class: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    selectors(&mut errors, &Path::new("spec.selectors"), &class["spec"]["selectors"]);
    errors
}

fn device_claim(spec: &Path<'_>, claim: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (devices, requests) = (spec.child("devices"), &claim["devices"]["requests"]);
    let all = devices.child("requests");
    for (i, request) in requests.as_array().into_iter().flatten().enumerate() {
        let path = all.index(i);
        let exactly = path.child("exactly");
        selectors(&mut errors, &exactly.child("selectors"), &request["exactly"]["selectors"]);
        let first = path.child("firstAvailable");
        for (j, sub) in request["firstAvailable"].as_array().into_iter().flatten().enumerate() {
            selectors(&mut errors, &first.index(j).child("selectors"), &sub["selectors"]);
        }
    }
    errors
}

fn selectors(errors: &mut ErrorList, path: &Path<'_>, selectors: &Value) {
    for (i, selector) in selectors.as_array().into_iter().flatten().enumerate() {
        let Some(source) = selector["cel"]["expression"].as_str().filter(|source| !source.is_empty()) else {
            continue;
        };
        let path = path.index(i);
        let path = path.child("cel");
        let at = path.child("expression");
        match DEVICES.compile(source) {
            Ok(program) if program.result_type().is_dyn() || matches!(program.result_type(), Type::Bool) => {}
            Ok(program) => {
                errors.invalid(
                    &at,
                    source,
                    format!("must evaluate to bool or the unknown type, not {}", program.result_type()),
                );
            }
            Err(error) => errors.invalid(&at, source, format!("compilation failed: {error}")),
        }
    }
}
