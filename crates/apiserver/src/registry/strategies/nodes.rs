//! Nodes.

use serde_json::Value;

use crate::registry::strategy::{Strategy, Traits, keep_field, keep_status};

/// Nodes: a node registers itself with its status, and its status writer may change labels and annotations.
pub struct Nodes {
    traits: Traits,
}

impl Nodes {
    /// The strategy of nodes.
    pub fn new(traits: Traits) -> Self {
        Nodes { traits }
    }
}

impl Strategy for Nodes {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn prepare_create(&self, _object: &mut Value) {}

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep_status(object, old);
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
    }
}
