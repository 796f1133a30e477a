//! The strategy of resources that their traits describe.

use api_types::resource::ResourceInfo;
use serde_json::Value;

use crate::registry::strategy::{Strategy, Traits, clear_status, keep_status};

/// A resource without code of its own.
pub struct Generic {
    traits: Traits,
    has_status: bool,
}

impl Generic {
    /// The strategy for a row.
    pub fn new(info: &ResourceInfo, traits: Traits) -> Self {
        Generic { traits, has_status: info.subresource("status").is_some() }
    }
}

impl Strategy for Generic {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.has_status {
            clear_status(object);
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if self.has_status {
            keep_status(object, old);
        }
    }
}
