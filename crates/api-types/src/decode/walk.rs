//! The walk.
use serde_json::Value;

use super::{DecodeError, Decoded, parse_untyped};
use crate::schema::Schema;

/// Reads a body by schema.
pub fn strict(_schema: &Schema, raw: &[u8]) -> Result<Decoded, DecodeError> {
    Ok(Decoded { value: parse_untyped(raw)?, findings: Vec::new() })
}

/// Reads a body without a schema, collecting duplicate fields only (custom resources before pruning, patches).
pub fn strict_untyped(raw: &[u8]) -> Result<Decoded, DecodeError> {
    Ok(Decoded { value: parse_untyped(raw)?, findings: Vec::new() })
}

/// What a Go typed round trip would print for a value: `null`s and empty values dropped or added, canonical scalars.
pub fn normalize(_schema: &Schema, value: Value) -> Result<Value, DecodeError> {
    Ok(value)
}

/// Drops fields that the schema does not know; returns their paths in order.
pub fn prune(_schema: &Schema, _value: &mut Value) -> Vec<String> {
    Vec::new()
}
