//! Namespaces: they end only when everything in them has gone, which `spec.finalizers` stands for.

use access::UserInfo;
use serde_json::{Value, json};

use crate::registry::meta;
use crate::registry::strategy::{Base, Strategy, keep_field};

/// The label that every namespace has, with its name (KEP-2161).
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Namespaces.
pub struct Namespaces {
    base: Base,
}

impl Namespaces {
    /// The strategy of namespaces.
    pub fn new(base: Base) -> Self {
        Namespaces { base }
    }
}

impl Strategy for Namespaces {
    fn base(&self) -> &Base {
        &self.base
    }

    fn receive(&self, object: &mut Value) {
        let name = meta::text(object, "name").to_owned();
        if name.is_empty() {
            return;
        }
        let labels = meta::map(object).entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(NAME_LABEL.into(), name.into());
        }
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        self.receive(object);
        object["status"] = json!({ "phase": "Active" });
        let mut finalizers = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
        object["spec"] = json!({ "finalizers": finalizers });
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
        keep_field(object, old, "status");
    }

    fn prepare_subresource_update(&self, subresource: &str, object: &mut Value, old: &Value) {
        match subresource {
            "finalize" => keep_field(object, old, "status"),
            _ => keep_field(object, old, "spec"),
        }
    }

    fn holds_back_deletion(&self, object: &Value) -> bool {
        object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
    }

    fn begin_deletion(&self, object: &mut Value, _old: &Value) {
        // A namespace has no grace period; whoever empties it looks at the phase.
        meta::set(object, "deletionGracePeriodSeconds", None);
        object["status"]["phase"] = "Terminating".into();
    }
}
