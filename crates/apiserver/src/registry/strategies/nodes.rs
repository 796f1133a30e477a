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

    fn prepare_create(&self, _object: &mut Value, _user: &UserInfo) {}

    fn prepare_subresource_update(&self, _subresource: &str, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
    }
}
