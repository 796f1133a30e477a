//! Admission configuration: webhooks, policies and their bindings. Expressions are compiled by the apiserver, which has
//! the CEL environment; here only their presence is checked.

mod policy;
mod webhook;

use serde_json::Value;

use super::check::one_of_if_set;
use super::get::{get, texts};
use crate::field::{ErrorList, Path};

pub use policy::{
    MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING, RESERVED_WORDS,
    VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING,
};
pub use webhook::{MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION};
pub(super) use webhook::{validate_service, validate_url};

/// A rule that says which requests are meant.
fn validate_rule(errors: &mut ErrorList, path: &Path<'_>, rule: &Value) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    wildcard_list(errors, path, rule, "operations", "operations");
    let at = path.child("operations");
    for (i, operation) in texts(rule, "operations").enumerate() {
        if !OPERATIONS.contains(&operation) {
            errors.not_supported(&at.index(i), operation, &OPERATIONS);
        }
    }
    wildcard_list(errors, path, rule, "apiGroups", "API groups");
    wildcard_list(errors, path, rule, "apiVersions", "API versions");
    let at = path.child("apiVersions");
    for (i, _) in texts(rule, "apiVersions").enumerate().filter(|(_, v)| v.is_empty()) {
        errors.required(&at.index(i), "");
    }
    resources(errors, &path.child("resources"), rule);
    let scope = get(rule, "scope").and_then(Value::as_str).unwrap_or_default();
    one_of_if_set(errors, &path.child("scope"), scope, &["*", "Cluster", "Namespaced"]);
}

/// A list that is not empty, and has nothing beside `*`.
fn wildcard_list(errors: &mut ErrorList, path: &Path<'_>, rule: &Value, key: &str, what: &str) {
    let values: Vec<&str> = texts(rule, key).collect();
    if values.is_empty() {
        errors.required(&path.child(key), "");
    } else if values.len() > 1 && values.contains(&"*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        errors.invalid(&path.child(key), rule[key].clone(), detail);
    }
}

fn resources(errors: &mut ErrorList, path: &Path<'_>, rule: &Value) {
    let all: Vec<&str> = texts(rule, "resources").collect();
    let shown = || rule["resources"].clone();
    if all.is_empty() {
        errors.required(path, "");
    }
    for (i, resource) in all.iter().enumerate() {
        if resource.is_empty() {
            errors.required(&path.index(i), "");
        }
        let Some((resource, subresource)) = resource.split_once('/') else { continue };
        let others = all[..i].iter().filter_map(|r| r.split_once('/'));
        for (other, below) in others {
            if other == resource && below == "*" {
                let detail =
                    format!("if '{resource}/*' is present, must not specify {resource}/{subresource}");
                errors.invalid(&path.index(i), format!("{resource}/{subresource}"), detail);
            } else if other == "*" && below == subresource && resource != "*" {
                let detail =
                    format!("if '*/{subresource}' is present, must not specify {resource}/{subresource}");
                errors.invalid(&path.index(i), format!("{resource}/{subresource}"), detail);
            }
        }
    }
    if all.len() > 1 && all.contains(&"*/*") {
        errors.invalid(path, shown(), "if '*/*' is present, must not specify other resources");
    }
    // Only the last plain resource counts, as upstream has it.
    let last_plain = all.iter().rfind(|r| !r.contains('/')).is_some_and(|r| *r != "*");
    if all.contains(&"*") && last_plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(path, shown(), detail);
    }
}
