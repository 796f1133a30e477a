//! Constant defaults.
use serde_json::Value;

use crate::schema::Schema;

/// Fills in the constant defaults of a built-in type.
pub fn apply_kind(_type_name: &str, _object: &mut Value) {}

pub(super) fn apply_custom(_schema: &Schema, _object: &mut Value) {}
