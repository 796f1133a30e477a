//! Roles and their bindings.

use serde_json::Value;

use super::Validator;
use super::check::{go_struct, path_segment};
use super::get::{get, items, text};
use super::selector::label_selector;
use crate::field::{BadValue, ErrorList, Path};
use crate::name;
use crate::selector::Selector;

/// Rules of `Role`.
pub static ROLE: Validator = Validator {
    name: name::path_segment_rule,
    create: |o| rules(o, true),
    update: |new, _| rules(new, true),
};
/// Rules of `ClusterRole`.
pub static CLUSTER_ROLE: Validator =
    Validator { name: name::path_segment_rule, create: cluster_role, update: |new, _| cluster_role(new) };
/// Rules of `RoleBinding`.
pub static ROLE_BINDING: Validator = Validator {
    name: name::path_segment_rule,
    create: |o| binding(o, true),
    update: |n, o| binding_update(n, o, true),
};
/// Rules of `ClusterRoleBinding`.
pub static CLUSTER_ROLE_BINDING: Validator = Validator {
    name: name::path_segment_rule,
    create: |o| binding(o, false),
    update: |n, o| binding_update(n, o, false),
};

const GROUP: &str = "rbac.authorization.k8s.io";

fn rules(object: &Value, namespaced: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("rules");
    for (i, rule) in items(object, "rules").iter().enumerate() {
        policy_rule(&mut errors, &path.index(i), rule, namespaced);
    }
    errors
}

fn policy_rule(errors: &mut ErrorList, path: &Path<'_>, rule: &Value, namespaced: bool) {
    let has = |key: &str| !items(rule, key).is_empty();
    if !has("verbs") {
        errors.required(&path.child("verbs"), "verbs must contain at least one value");
    }
    if has("nonResourceURLs") {
        let path = path.child("nonResourceURLs");
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.invalid(&path, rule["nonResourceURLs"].clone(), detail);
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.invalid(&path, rule["nonResourceURLs"].clone(), detail);
        }
        return;
    }
    if !has("apiGroups") {
        errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if !has("resources") {
        errors.required(&path.child("resources"), "resource rules must supply at least one resource");
    }
}

fn cluster_role(object: &Value) -> ErrorList {
    let mut errors = rules(object, false);
    let Some(aggregation) = get(object, "aggregationRule") else { return errors };
    let path = Path::new("aggregationRule.clusterRoleSelectors");
    let selectors = items(aggregation, "clusterRoleSelectors");
    if selectors.is_empty() {
        errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        label_selector(&mut errors, &path, Some(selector));
        if Selector::from_value(selector).is_err() {
            errors.invalid(&path, Value::Null, "invalid label selector.");
        }
    }
    errors
}

fn binding(object: &Value, namespaced: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let (role, path) = (&object["roleRef"], Path::new("roleRef"));
    let group = text(role, "apiGroup");
    if group != GROUP {
        errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(role, "kind");
    if !kinds.contains(&kind) {
        errors.not_supported(&path.child("kind"), kind, kinds);
    }
    path_segment(&mut errors, &path.child("name"), text(role, "name"));
    let path = Path::new("subjects");
    for (i, subject) in items(object, "subjects").iter().enumerate() {
        validate_subject(&mut errors, &path.index(i), subject, namespaced);
    }
    errors
}

fn validate_subject(errors: &mut ErrorList, path: &Path<'_>, subject: &Value, namespaced: bool) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.invalid_each(&path.child("name"), name, name::dns1123_subdomain(name));
            }
            if !group.is_empty() {
                errors.not_supported(&path.child("apiGroup"), group, &[""]);
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.required(&path.child("namespace"), "");
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
            }
        }
        other => errors.not_supported(&path.child("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

fn binding_update(new: &Value, old: &Value, namespaced: bool) -> ErrorList {
    let mut errors = binding(new, namespaced);
    if new["roleRef"] != old["roleRef"] {
        let fields = [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")];
        let shown: BadValue = go_struct(&new["roleRef"], &fields);
        errors.invalid(&Path::new("roleRef"), shown, "cannot change roleRef");
    }
    errors
}
