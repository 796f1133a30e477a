//! The strategy of resources that their traits describe.

use crate::registry::strategy::{Base, Strategy};

/// A resource without code of its own.
pub struct Generic {
    base: Base,
}

impl Generic {
    /// The strategy of a resource that has these traits.
    pub fn new(base: Base) -> Self {
        Generic { base }
    }
}

impl Strategy for Generic {
    fn base(&self) -> &Base {
        &self.base
    }
}
