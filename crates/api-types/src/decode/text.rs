//! JSON text as Go reads it: syntax, and its wording of syntax errors.

use serde_json::Value;

/// Text that is not JSON, in the words of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub String);

/// Parses JSON without a schema, keeping the last of duplicate keys.
pub fn parse_untyped(raw: &[u8]) -> Result<Value, SyntaxError> {
    serde_json::from_slice(raw).map_err(|e| SyntaxError(e.to_string()))
}
