//! JSON text → `Value` as upstream's decoder reads it.
//!
//! One walk over the text by schema does what a Go decoder into a typed struct and its encoder do together: names are matched
//! by case, unknown and duplicate fields are collected in order and dropped, `null` reads as absent, empty values that Go
//! omits vanish and those that it always writes appear, quantities, durations and times take their canonical text. The
//! errors are worded as clients of the API know them.

mod go_type;
mod prune;
mod scalar;
mod settle;
mod stored;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod type_meta;
mod typed_text;
mod walk;

use serde_json::Value;

use crate::schema::Schema;

pub use prune::prune;
pub use settle::normalize;
pub use stored::to_stored_form;
pub use syntax::SyntaxError;
pub use text::parse_untyped;
pub use type_meta::{TypeMeta, type_meta};
pub use typed_text::typed_text;
pub use walk::{strict, strict_untyped};

/// What a decoder read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object, without unknown fields.
    pub value: Value,
    /// Unknown and duplicate fields in upstream's words and order: `unknown field "spec.foo"`, `duplicate field "spec.bar"`.
    pub findings: Vec<String>,
}

/// Why a body cannot be read; `Display` is upstream's sentence (`json: cannot unmarshal …`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A value of another type than the field has.
    #[error("json: cannot unmarshal {found} into Go {target} of type {go_type}")]
    Type {
        /// `string`, `number`, `number 3.5`, `bool`, `array`, `object`.
        found: String,
        /// `struct field ConfigMap.data`, or `value`.
        target: String,
        /// `map[string]string`.
        go_type: String,
    },
    /// A value that its type's own parser refuses (quantity, time, base64, …), in that parser's words.
    #[error("{0}")]
    Value(String),
}

/// Whether findings of a strict walk matter; `?fieldValidation=`.
pub fn strict_message(findings: &[String]) -> Option<String> {
    (!findings.is_empty()).then(|| format!("strict decoding error: {}", findings.join(", ")))
}

/// Convenience for tests and file formats: decode, refusing findings.
pub fn exact(schema: &Schema, raw: &[u8]) -> Result<Value, DecodeError> {
    let decoded = strict(schema, raw)?;
    match strict_message(&decoded.findings) {
        Some(message) => Err(DecodeError::Value(message)),
        None => Ok(decoded.value),
    }
}
