use serde_json::Value;

use super::validate_rule;
use super::webhook::match_conditions;
use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::Validator;
use crate::validation::check::{one_of, one_of_if_set};
use crate::validation::get::{get, items, text, texts};
use crate::validation::selector::label_selector;

/// Rules of `ValidatingAdmissionPolicy`.
pub static VALIDATING_ADMISSION_POLICY: Validator =
    Validator { name: name::subdomain_rule, create: validating, update: |new, _| validating(new) };
/// Rules of `ValidatingAdmissionPolicyBinding`.
pub static VALIDATING_ADMISSION_POLICY_BINDING: Validator = Validator {
    name: name::subdomain_rule,
    create: validating_binding,
    update: |new, _| validating_binding(new),
};
/// Rules of `MutatingAdmissionPolicy`.
pub static MUTATING_ADMISSION_POLICY: Validator =
    Validator { name: name::subdomain_rule, create: mutating, update: |new, _| mutating(new) };
/// Rules of `MutatingAdmissionPolicyBinding`.
pub static MUTATING_ADMISSION_POLICY_BINDING: Validator =
    Validator { name: name::subdomain_rule, create: binding, update: |new, _| binding(new) };

const SPEC: Path<'static> = Path::new("spec");
/// Words of CEL that cannot name a variable, and that a field of such a name is escaped for.
pub const RESERVED_WORDS: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

fn validating(object: &Value) -> ErrorList {
    const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    common(&mut errors, spec);
    let (validations, annotations) = (items(spec, "validations"), items(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.required(&SPEC.child("validations"), detail);
        errors.required(&SPEC.child("auditAnnotations"), detail);
    }
    let path = SPEC.child("validations");
    for (i, validation) in validations.iter().enumerate() {
        let path = path.index(i);
        if text(validation, "expression").trim().is_empty() {
            errors.required(&path.child("expression"), "expression is not specified");
        }
        let message = text(validation, "message");
        if message.trim().contains('\n') {
            errors.invalid(&path.child("message"), message, "message must not contain line breaks");
        }
        let reason = text(validation, "reason");
        if !reason.is_empty() && !REASONS.contains(&reason) {
            errors.not_supported(&path.child("reason"), reason, &REASONS[..3]);
        }
    }
    let path = SPEC.child("auditAnnotations");
    let policy = text(&object["metadata"], "name");
    let mut keys: Vec<&str> = Vec::new();
    for (i, annotation) in annotations.iter().enumerate() {
        let path = path.index(i);
        let key = text(annotation, "key");
        if key.is_empty() {
            errors.required(&path.child("key"), "");
        } else {
            let whole = format!("{policy}/{key}");
            errors.invalid_each(&path.child("key"), whole.as_str(), name::qualified_name(&whole));
        }
        if text(annotation, "valueExpression").trim().is_empty() {
            errors.required(&path.child("valueExpression"), "valueExpression is not specified");
        }
        if keys.contains(&key) {
            errors.duplicate(&path.child("key"), key);
        }
        keys.push(key);
    }
    errors
}

/// What both kinds of policy have.
fn common(errors: &mut ErrorList, spec: &Value) {
    one_of(errors, &SPEC.child("failurePolicy"), text(spec, "failurePolicy"), &["Fail", "Ignore"]);
    if let Some(kind) = get(spec, "paramKind") {
        param_kind(errors, &SPEC.child("paramKind"), kind);
    }
    let path = SPEC.child("matchConstraints");
    match get(spec, "matchConstraints") {
        None => errors.required(&path, ""),
        Some(constraints) => {
            match_resources(errors, &path, constraints);
            if items(constraints, "resourceRules").is_empty() {
                errors.required(&path.child("resourceRules"), "");
            }
        }
    }
    match_conditions(errors, &SPEC.child("matchConditions"), spec);
    let path = SPEC.child("variables");
    for (i, variable) in items(spec, "variables").iter().enumerate() {
        let path = path.index(i);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "name is not specified");
        } else if !is_identifier(name) {
            errors.invalid(&path.child("name"), name, "must be a valid CEL identifier");
        }
        if text(variable, "expression").trim().is_empty() {
            errors.required(&path.child("expression"), "expression is not specified");
        }
    }
}

fn is_identifier(name: &str) -> bool {
    name::c_identifier(name).is_empty() && !RESERVED_WORDS.contains(&name)
}

fn param_kind(errors: &mut ErrorList, path: &Path<'_>, kind: &Value) {
    let version = text(kind, "apiVersion");
    let at = path.child("apiVersion");
    if version.is_empty() {
        errors.required(&at, "");
    } else if version.matches('/').count() > 1 {
        errors.invalid(&at, version, format!("unexpected GroupVersion string: {version}"));
    }
    let name = text(kind, "kind");
    if name.is_empty() {
        errors.required(&path.child("kind"), "");
    } else {
        let wrong = name::dns1035_label(&name.to_lowercase());
        if !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errors.invalid(&path.child("kind"), name, detail);
        }
    }
}

fn match_resources(errors: &mut ErrorList, path: &Path<'_>, resources: &Value) {
    one_of(errors, &path.child("matchPolicy"), text(resources, "matchPolicy"), &["Equivalent", "Exact"]);
    for key in ["namespaceSelector", "objectSelector"] {
        match get(resources, key) {
            None => errors.required(&path.child(key), ""),
            selector => label_selector(errors, &path.child(key), selector),
        }
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        let path = path.child(key);
        for (i, rule) in items(resources, key).iter().enumerate() {
            validate_rule(errors, &path.index(i), rule);
        }
    }
}

fn binding(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let policy = text(spec, "policyName");
    if policy.is_empty() {
        errors.required(&SPEC.child("policyName"), "");
    } else {
        errors.invalid_each(&SPEC.child("policyName"), policy, name::dns1123_subdomain(policy));
    }
    if let Some(reference) = get(spec, "paramRef") {
        param_ref(&mut errors, &SPEC.child("paramRef"), reference);
    }
    if let Some(resources) = get(spec, "matchResources") {
        match_resources(&mut errors, &SPEC.child("matchResources"), resources);
    }
    errors
}

fn param_ref(errors: &mut ErrorList, path: &Path<'_>, reference: &Value) {
    let (name, selector) = (text(reference, "name"), get(reference, "selector"));
    if !name.is_empty() {
        errors.invalid_each(&path.child("name"), name, name::path_segment(name, false));
    }
    match (name.is_empty(), selector) {
        (false, Some(_)) => {
            let detail = "name and selector are mutually exclusive";
            errors.forbidden(&path.child("name"), detail);
            errors.forbidden(&path.child("selector"), detail);
        }
        (true, None) => errors.required(path, "one of name or selector must be specified"),
        _ => label_selector(errors, &path.child("selector"), selector),
    }
    let action = text(reference, "parameterNotFoundAction");
    one_of(errors, &path.child("parameterNotFoundAction"), action, &["Allow", "Deny"]);
}

fn validating_binding(object: &Value) -> ErrorList {
    let mut errors = binding(object);
    let path = SPEC.child("validationActions");
    let actions: Vec<&str> = texts(&object["spec"], "validationActions").collect();
    if actions.is_empty() {
        errors.required(&path, "at least one validation action is required");
    }
    for (i, action) in actions.iter().enumerate() {
        one_of_if_set(&mut errors, &path.index(i), action, &["Audit", "Deny", "Warn"]);
        if actions[..i].contains(action) {
            errors.duplicate(&path.index(i), *action);
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
            API response and headers serves no purpose)";
        errors.invalid(&path, object["spec"]["validationActions"].clone(), detail);
    }
    errors
}

fn mutating(object: &Value) -> ErrorList {
    const TYPES: [(&str, &str); 2] =
        [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    common(&mut errors, spec);
    let path = SPEC.child("mutations");
    let mutations = items(spec, "mutations");
    if mutations.is_empty() {
        errors.required(&path, "mutations must contain at least one item");
    }
    for (i, mutation) in mutations.iter().enumerate() {
        let path = path.index(i);
        let kind = text(mutation, "patchType");
        if !TYPES.iter().any(|(name, _)| *name == kind) {
            one_of(&mut errors, &path.child("patchType"), kind, &["ApplyConfiguration", "JSONPatch"]);
            continue;
        }
        for (name, key) in TYPES.iter().filter(|(name, _)| *name == kind) {
            if get(mutation, key).is_none() {
                errors.required(&path.child(key), &format!("must be specified when patchType is {name}"));
            }
        }
        for (_, key) in TYPES.iter().filter(|(name, _)| *name != kind) {
            if get(mutation, key).is_some() {
                let detail = format!("must not be specified when patchType is {kind}");
                errors.invalid(&path.child(key), format!("{{{key}}}"), detail);
            }
        }
    }
    let policy = text(spec, "reinvocationPolicy");
    one_of(&mut errors, &SPEC.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]);
    errors
}
