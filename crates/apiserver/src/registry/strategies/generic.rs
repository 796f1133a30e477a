//! The strategy of resources that their traits describe.

use serde_json::Value;

use super::warnings::{self, Warnings};
use crate::registry::strategy::{Base, Strategy};

/// A resource without code of its own.
pub struct Generic {
    base: Base,
    warnings: Warnings,
}

impl Generic {
    /// The strategy of a resource that has these traits.
    pub fn new(base: Base, group: &str, plural: &str) -> Self {
        Generic { base, warnings: warnings::of(group, plural) }
    }
}

impl Strategy for Generic {
    fn base(&self) -> &Base {
        &self.base
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        (self.warnings)(object, old)
    }
}
