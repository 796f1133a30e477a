//! CertificateSigningRequests: who asked is recorded, and what was asked never changes.

use access::UserInfo;
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
        } else {
            keep_decisions(object, old);
        }
        stamp(object, old);
    }
}

/// Approval and denial are not the signer's to change.
fn keep_decisions(object: &mut Value, old: &Value) {
    let is_decision = |condition: &Value| matches!(condition["type"].as_str(), Some("Approved" | "Denied"));
    let list = |request: &Value| request["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut conditions: Vec<Value> = list(object).into_iter().filter(|c| !is_decision(c)).collect();
    conditions.extend(list(old).into_iter().filter(is_decision));
    if !conditions.is_empty() {
        object["status"]["conditions"] = conditions.into();
    } else if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("conditions");
    }
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
