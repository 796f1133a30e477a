//! Defaults that depend on other values.
use serde_json::Value;

pub(super) fn apply(_type_name: &str, _object: &mut Value) {}
