use serde_json::Value;

use super::validate_rule;
use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::Validator;
use crate::validation::check::one_of_if_set;
use crate::validation::get::{get, int, items, text, texts};
use crate::validation::selector::label_selector;

/// Rules of `MutatingWebhookConfiguration`.
pub static MUTATING_WEBHOOK_CONFIGURATION: Validator =
    Validator { name: name::subdomain_rule, create: configuration, update: |new, _| configuration(new) };
/// Rules of `ValidatingWebhookConfiguration`.
pub static VALIDATING_WEBHOOK_CONFIGURATION: Validator =
    Validator { name: name::subdomain_rule, create: configuration, update: |new, _| configuration(new) };

const CONDITIONS_MAX: usize = 64;
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const FORM: &str = "; desired format: https://host[/path]";
const SEGMENTS: &str = "should be a domain with at least three segments separated by dots";

fn configuration(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("webhooks");
    let mut names: Vec<&str> = Vec::new();
    for (i, hook) in items(object, "webhooks").iter().enumerate() {
        let path = path.index(i);
        validate_hook(&mut errors, &path, hook);
        review_versions(&mut errors, &path.child("admissionReviewVersions"), hook);
        let name = text(hook, "name");
        if names.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        } else if !name.is_empty() {
            names.push(name);
        }
    }
    errors
}

fn validate_hook(errors: &mut ErrorList, path: &Path<'_>, hook: &Value) {
    qualified_domain(errors, &path.child("name"), text(hook, "name"));
    let at = path.child("rules");
    for (i, rule) in items(hook, "rules").iter().enumerate() {
        validate_rule(errors, &at.index(i), rule);
    }
    one_of_if_set(errors, &path.child("failurePolicy"), text(hook, "failurePolicy"), &["Fail", "Ignore"]);
    one_of_if_set(errors, &path.child("matchPolicy"), text(hook, "matchPolicy"), &["Equivalent", "Exact"]);
    match text(hook, "sideEffects") {
        "" => {
            errors.required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun");
        }
        other => one_of_if_set(errors, &path.child("sideEffects"), other, &SIDE_EFFECTS),
    }
    if let Some(seconds) = int(hook, "timeoutSeconds").filter(|s| !(1..=30).contains(s)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.invalid(&path.child("timeoutSeconds"), seconds, detail);
    }
    for key in ["namespaceSelector", "objectSelector"] {
        label_selector(errors, &path.child(key), get(hook, key));
    }
    let reinvocation = text(hook, "reinvocationPolicy");
    one_of_if_set(errors, &path.child("reinvocationPolicy"), reinvocation, &["IfNeeded", "Never"]);
    client_config(errors, &path.child("clientConfig"), &hook["clientConfig"]);
    match_conditions(errors, &path.child("matchConditions"), hook);
}

/// Expressions that choose among the requests that the rules name; each has a name of its own.
pub(super) fn match_conditions(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
    let conditions = items(owner, "matchConditions");
    if conditions.len() > CONDITIONS_MAX {
        errors.too_many(path, conditions.len(), CONDITIONS_MAX);
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = path.index(i);
        let name = text(condition, "name");
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        } else {
            errors.invalid_each(&at.child("name"), name, name::qualified_name(name));
        }
        if seen.contains(&name) {
            errors.duplicate(&at.child("name"), name);
        }
        seen.push(name);
        if text(condition, "expression").trim().is_empty() {
            errors.required(&at.child("expression"), "");
        }
    }
}

fn qualified_domain(errors: &mut ErrorList, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    let wrong = name::dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(path, name, wrong.join(","));
    } else if name.split('.').count() < 3 {
        errors.invalid(path, name, SEGMENTS);
    }
}

fn client_config(errors: &mut ErrorList, path: &Path<'_>, config: &Value) {
    match (get(config, "url").and_then(Value::as_str), get(config, "service")) {
        (Some(url), None) => validate_url(errors, &path.child("url"), url),
        (None, Some(service)) => validate_service(errors, &path.child("service"), service),
        _ => errors.required(path, "exactly one of url or service is required"),
    }
}

/// The URL of a webhook.
pub(in crate::validation) fn validate_url(errors: &mut ErrorList, path: &Path<'_>, url: &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    if scheme != "https" {
        errors.invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() || scheme.is_empty() {
        errors.invalid(path, "", format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

/// The service behind a webhook.
pub(in crate::validation) fn validate_service(errors: &mut ErrorList, path: &Path<'_>, service: &Value) {
    for key in ["name", "namespace"] {
        if text(service, key).is_empty() {
            errors.required(&path.child(key), "");
        }
    }
    let port = int(service, "port").unwrap_or(443);
    let wrong = name::port_number(port);
    if !wrong.is_empty() {
        errors.invalid(&path.child("port"), port, format!("port is not valid: {}", wrong.join(",")));
    }
    let Some(url) = get(service, "path").and_then(Value::as_str) else { return };
    if url.is_empty() || url == "/" {
        return;
    }
    let at = path.child("path");
    if !url.starts_with('/') {
        errors.invalid(&at, url, "must start with a '/'");
    }
    let mut characters = url.chars();
    characters.next();
    let rest = characters.as_str();
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.invalid(&at, url, format!("segment[{i}] may not be empty"));
            continue;
        }
        for why in name::dns1123_subdomain(step) {
            errors.invalid(&at, url, format!("segment[{i}]: {why}"));
        }
    }
}

fn review_versions(errors: &mut ErrorList, path: &Path<'_>, hook: &Value) {
    let versions: Vec<&str> = texts(hook, "admissionReviewVersions").collect();
    if versions.is_empty() {
        return errors.required(path, "must specify one of v1, v1beta1");
    }
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.invalid(&path.index(i), *version, "duplicate version");
        } else {
            errors.invalid_each(&path.index(i), *version, name::dns1035_label(version));
        }
    }
    if !versions.iter().any(|v| REVIEW_VERSIONS.contains(v)) {
        let detail = "must include at least one of v1, v1beta1";
        errors.invalid(path, hook["admissionReviewVersions"].clone(), detail);
    }
}
