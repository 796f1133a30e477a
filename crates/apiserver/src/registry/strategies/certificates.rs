//! CertificateSigningRequests: who asked is recorded, and what was asked never changes.

use access::UserInfo;
use api_types::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

use crate::registry::meta;
use crate::registry::strategy::{Base, Strategy, keep_field};

/// CertificateSigningRequests.
pub struct Requests {
    base: Base,
}

impl Requests {
    /// The strategy of certificate signing requests.
    pub fn new(base: Base) -> Self {
        Requests { base }
    }
}

impl Strategy for Requests {
    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare_create(&self, object: &mut Value, user: &UserInfo) {
        self.base.clear_status(object);
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        for key in ["username", "uid", "groups", "extra"] {
            spec.remove(key);
        }
        spec.insert("username".into(), user.name.clone().into());
        if !user.uid.is_empty() {
            spec.insert("uid".into(), user.uid.clone().into());
        }
        if !user.groups.is_empty() {
            spec.insert("groups".into(), json!(user.groups));
        }
        if !user.extra.is_empty() {
            spec.insert("extra".into(), json!(user.extra));
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
        keep_field(object, old, "status");
    }

    fn prepare_subresource_update(&self, subresource: &str, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
        let certificate = old.pointer("/status/certificate").cloned();
        let conditions = object.pointer("/status/conditions").cloned();
        if subresource == "approval" {
            // The approver decides; the signer's certificate stays.
            let mut status = json!({});
            if let Some(certificate) = certificate {
                status["certificate"] = certificate;
            }
            if let Some(conditions) = conditions {
                status["conditions"] = conditions;
            }
            object["status"] = status;
        }
        stamp(object, old);
    }

    fn validate_update(&self, subresource: &str, object: &Value, old: &Value) -> ErrorList {
        if subresource.is_empty() { ErrorList::new() } else { check_conditions(object, old) }
    }
}

/// Decisions are made once: they are true, they exclude each other, and nobody takes them back.
fn check_conditions(object: &Value, old: &Value) -> ErrorList {
    const DECISIONS: [&str; 3] = ["Approved", "Denied", "Failed"];
    let path = Path::new("status.conditions");
    let list = |request: &Value| request["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let (now, before) = (list(object), list(old));
    let has = |list: &[Value], kind: &str| list.iter().any(|condition| condition["type"] == kind);
    let mut errors = ErrorList::new();
    for (i, condition) in now.iter().enumerate() {
        let (kind, status) = (condition["type"].as_str().unwrap_or_default(), condition["status"].as_str());
        let item = path.index(i);
        if kind.is_empty() {
            errors.push(Error::required(&item.child("type"), ""));
        }
        if DECISIONS.contains(&kind) && status != Some("True") {
            let shown = status.unwrap_or_default();
            errors.push(Error::not_supported(&item.child("status"), shown, &["True"]));
        }
        if kind == "Approved" && has(&now, "Denied") {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(&item.child("type"), kind, why));
        }
    }
    for kind in DECISIONS.iter().filter(|kind| has(&before, kind) && !has(&now, kind)) {
        let why = format!("updates may not remove a condition of type {kind:?}");
        errors.push(Error::forbidden(&path, why));
    }
    errors
}

/// Fills in the times of conditions that are new or changed.
fn stamp(object: &mut Value, old: &Value) {
    let before = old["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let now = meta::now();
    for condition in
        object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if condition["status"].as_str().unwrap_or_default().is_empty() {
            condition["status"] = "True".into();
        }
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.clone().into();
        }
        if condition["lastTransitionTime"].is_null() {
            let same =
                before.iter().find(|b| b["type"] == condition["type"] && b["status"] == condition["status"]);
            condition["lastTransitionTime"] = match same {
                Some(same) if !same["lastTransitionTime"].is_null() => same["lastTransitionTime"].clone(),
                _ => now.clone().into(),
            };
        }
    }
}
