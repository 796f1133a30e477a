//! The strategy of custom resources: their traits, and the rules that their schema states in CEL.

use std::sync::OnceLock;

use api_types::field::ErrorList;
use api_types::schema::SchemaRef;
use serde_json::Value;

use crate::custom::Rules;
use crate::registry::strategy::{Base, Strategy};

/// The strategy of a custom resource.
pub struct Custom {
    base: Base,
    schema: SchemaRef,
    /// Compiled when an object is written.
    rules: OnceLock<Rules>,
}

impl Custom {
    /// With these traits, over this schema.
    pub fn new(base: Base, schema: SchemaRef) -> Self {
        Custom { base, schema, rules: OnceLock::new() }
    }
}

impl Strategy for Custom {
    fn base(&self) -> &Base {
        &self.base
    }

    fn check_rules(&self, object: &Value, old: Option<&Value>, found: &ErrorList) -> ErrorList {
        self.rules.get_or_init(|| Rules::of(&self.schema)).check(object, old, found)
    }
}
