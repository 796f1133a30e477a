//! Flow schemas and priority levels (KEP-1040).

use serde_json::Value;

use super::Validator;
use super::check::one_of;
use super::get::{flag, get, int, items, text, texts};
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `FlowSchema`.
pub static FLOW_SCHEMA: Validator =
    Validator { name: name::subdomain_rule, create: flow_schema, update: |new, _| flow_schema(new) };
/// Rules of `PriorityLevelConfiguration`.
pub static PRIORITY_LEVEL: Validator =
    Validator { name: name::subdomain_rule, create: priority_level, update: |new, _| priority_level(new) };

const SPEC: Path<'static> = Path::new("spec");
const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
const ENTROPY_BITS_MAX: u32 = 60;

fn flow_schema(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let precedence = int(spec, "matchingPrecedence").unwrap_or(0);
    let path = SPEC.child("matchingPrecedence");
    if precedence <= 0 {
        errors.invalid(&path, precedence, "must be a positive value");
    }
    if precedence > PRECEDENCE_MAX {
        errors.invalid(&path, precedence, format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    let method = get(spec, "distinguisherMethod").map(|m| text(m, "type"));
    if let Some(method) = method.filter(|m| !matches!(*m, "ByNamespace" | "ByUser")) {
        errors.not_supported(&SPEC.child("distinguisherMethod"), method, &["ByNamespace", "ByUser"]);
    }
    let path = SPEC.child("priorityLevelConfiguration");
    let level = text(&spec["priorityLevelConfiguration"], "name");
    if level.is_empty() {
        errors.required(&path.child("name"), "must reference a priority level");
    } else {
        errors.invalid_each(&path.child("name"), level, name::dns1123_subdomain(level));
    }
    let path = SPEC.child("rules");
    for (i, rule) in items(spec, "rules").iter().enumerate() {
        validate_rule(&mut errors, &path.index(i), rule);
    }
    errors
}

fn validate_rule(errors: &mut ErrorList, path: &Path<'_>, rule: &Value) {
    let subjects = items(rule, "subjects");
    let at = path.child("subjects");
    if subjects.is_empty() {
        errors.required(&at, "subjects must contain at least one value");
    }
    for (i, subject) in subjects.iter().enumerate() {
        validate_subject(errors, &at.index(i), subject);
    }
    if items(rule, "resourceRules").is_empty() && items(rule, "nonResourceRules").is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let at = path.child("resourceRules");
    for (i, resource) in items(rule, "resourceRules").iter().enumerate() {
        resource_rule(errors, &at.index(i), resource);
    }
    let at = path.child("nonResourceRules");
    for (i, other) in items(rule, "nonResourceRules").iter().enumerate() {
        let at = at.index(i);
        list(errors, &at, other, "verbs", "verbs must contain at least one value", "verbs");
        let urls: Vec<&str> = texts(other, "nonResourceURLs").collect();
        let path = at.child("nonResourceURLs");
        if urls.is_empty() {
            errors.required(&path, "nonResourceURLs must contain at least one value");
        }
        for (i, url) in urls.iter().enumerate().filter(|(_, u)| **u != "*" && !u.starts_with('/')) {
            errors.invalid(&path.index(i), *url, "must start with slash");
        }
    }
}

fn validate_subject(errors: &mut ErrorList, path: &Path<'_>, subject: &Value) {
    let kind = text(subject, "kind");
    let mut need = |key: &str, name: &str| match get(subject, key) {
        None => {
            errors.required(&path.child(key), &format!("{key} is required when subject kind is '{kind}'"))
        }
        Some(part) if text(part, name).is_empty() => errors.required(&path.child(key).child(name), ""),
        Some(_) => {}
    };
    match kind {
        "ServiceAccount" => need("serviceAccount", "name"),
        "User" => need("user", "name"),
        "Group" => need("group", "name"),
        other => errors.not_supported(&path.child("kind"), other, &["Group", "ServiceAccount", "User"]),
    }
}

fn resource_rule(errors: &mut ErrorList, path: &Path<'_>, rule: &Value) {
    list(errors, path, rule, "verbs", "verbs must contain at least one value", "verbs");
    list(errors, path, rule, "apiGroups", "resource rules must supply at least one api group", "api groups");
    list(errors, path, rule, "resources", "resource rules must supply at least one resource", "resources");
    let namespaces: Vec<&str> = texts(rule, "namespaces").collect();
    let at = path.child("namespaces");
    if namespaces.is_empty() && !flag(rule, "clusterScope") {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.required(&at, detail);
    } else if namespaces.contains(&"*") {
        if namespaces.len() > 1 {
            let detail = "if '*' is present, must not specify other namespaces";
            errors.invalid(&at, rule["namespaces"].clone(), detail);
        }
    } else {
        for (i, namespace) in namespaces.iter().enumerate() {
            errors.invalid_each(&at.index(i), *namespace, name::dns1123_label(namespace));
        }
    }
}

/// A list that is not empty, and has nothing beside `*`.
fn list(errors: &mut ErrorList, path: &Path<'_>, owner: &Value, key: &str, missing: &str, what: &str) {
    let values: Vec<&str> = texts(owner, key).collect();
    if values.is_empty() {
        errors.required(&path.child(key), missing);
    } else if values.len() > 1 && values.contains(&"*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        errors.invalid(&path.child(key), owner[key].clone(), detail);
    }
}

fn priority_level(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let kind = text(spec, "type");
    match kind {
        "Exempt" => {
            if get(spec, "limited").is_some() {
                errors.forbidden(&SPEC.child("limited"), "must be nil if the type is Exempt");
            }
            if let Some(exempt) = get(spec, "exempt") {
                shares(&mut errors, &SPEC.child("exempt"), exempt);
            }
        }
        "Limited" => {
            if get(spec, "exempt").is_some() {
                errors.forbidden(&SPEC.child("exempt"), "must be nil if the type is Limited");
            }
            match get(spec, "limited") {
                None => errors.required(&SPEC.child("limited"), "must not be empty when type is Limited"),
                Some(limited) => validate_limited(&mut errors, &SPEC.child("limited"), limited),
            }
        }
        other => errors.not_supported(&SPEC.child("type"), other, &["Exempt", "Limited"]),
    }
    errors
}

fn shares(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
    if let Some(shares) = int(owner, "nominalConcurrencyShares").filter(|s| *s < 0) {
        errors.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    if let Some(percent) = int(owner, "lendablePercent").filter(|p| !(0..=100).contains(p)) {
        errors.invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn validate_limited(errors: &mut ErrorList, path: &Path<'_>, limited: &Value) {
    let at = path.child("limitResponse");
    let response = &limited["limitResponse"];
    shares(errors, path, limited);
    match text(response, "type") {
        "Reject" => {
            if get(response, "queuing").is_some() {
                errors.forbidden(
                    &at.child("queuing"),
                    "must be nil if limited.limitResponse.type is not Limited",
                );
            }
        }
        "Queue" => match get(response, "queuing") {
            None => {
                let detail = "must not be empty if limited.limitResponse.type is Limited";
                errors.required(&at.child("queuing"), detail);
            }
            Some(queuing) => validate_queuing(errors, &at.child("queuing"), queuing),
        },
        other => one_of(errors, &at.child("type"), other, &["Queue", "Reject"]),
    }
    if let Some(percent) = int(limited, "borrowingLimitPercent").filter(|p| *p < 0) {
        errors.invalid(&path.child("borrowingLimitPercent"), percent, "must be a non-negative integer");
    }
}

fn validate_queuing(errors: &mut ErrorList, path: &Path<'_>, queuing: &Value) {
    let value = |key: &str| int(queuing, key).unwrap_or(0);
    if value("queueLengthLimit") <= 0 {
        errors.invalid(&path.child("queueLengthLimit"), value("queueLengthLimit"), "must be positive");
    }
    let (queues, hand) = (value("queues"), value("handSize"));
    if queues <= 0 {
        errors.invalid(&path.child("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        errors.invalid(&path.child("queues"), queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand <= 0 {
        errors.invalid(&path.child("handSize"), hand, "must be positive");
    } else if hand > queues {
        errors.invalid(
            &path.child("handSize"),
            hand,
            format!("should not be greater than queues ({queues})"),
        );
    } else if queues > 0 && entropy_bits(queues, hand) > ENTROPY_BITS_MAX {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {ENTROPY_BITS_MAX}"
        );
        errors.invalid(&path.child("handSize"), hand, detail);
    }
}

/// Bits of the hash that dealing a hand of queues takes.
fn entropy_bits(queues: i64, hand: i64) -> u32 {
    let falling: f64 = (0..hand).map(|i| ((queues - i) as f64).log2()).sum();
    falling.ceil() as u32
}
