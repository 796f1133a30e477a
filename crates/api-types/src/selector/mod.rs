//! Label selectors and field selectors: their string syntax, their matching, and what an index can use of them.

mod fields;
mod labels;
mod parse;
#[cfg(test)]
mod tests;

pub use fields::{FieldRequirement, FieldSelector};
pub use labels::{Labels, Operator, Requirement, Selector};

/// Why a selector cannot be understood; worded as upstream words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);
