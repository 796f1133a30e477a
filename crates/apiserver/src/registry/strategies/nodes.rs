//! Nodes.

use access::UserInfo;
use serde_json::Value;

use crate::registry::strategy::{Base, Strategy, keep_field};

/// Nodes: a node registers itself with its status, and its status writer may change labels and annotations.
pub struct Nodes {
    base: Base,
}

impl Nodes {
    /// The strategy of nodes.
    pub fn new(base: Base) -> Self {
        Nodes { base }
    }
}

impl Strategy for Nodes {
    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        drop_config_source(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        self.base.keep_status(object, old);
        if old["spec"]["configSource"].is_null() {
            drop_config_source(object);
        }
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::node(object, old)
    }

    fn prepare_subresource_update(&self, _subresource: &str, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
    }
}

/// Kubelets read their configuration from files only; the field is kept where it is stored.
fn drop_config_source(node: &mut Value) {
    if let Some(spec) = node.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("configSource");
    }
}
