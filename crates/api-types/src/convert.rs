//! Conversion between the served versions of one resource.

use serde_json::Value;

use crate::resource::ResourceInfo;

/// Why an object cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// No conversion is known between two kinds.
    #[error("no conversion from {from} to {to}")]
    Unknown {
        /// `group/version.Kind` of the source.
        from: String,
        /// `group/version.Kind` of the target.
        to: String,
    },
}

/// Converts an object of `from` into one of `to`. `apiVersion` and `kind`, when present, become those of `to`.
pub fn convert(from: &ResourceInfo, to: &ResourceInfo, value: Value) -> Result<Value, ConvertError> {
    if from.group == to.group && from.version == to.version && from.kind == to.kind {
        return Ok(value);
    }
    Err(ConvertError::Unknown {
        from: format!("{}.{}", from.api_version(), from.kind),
        to: format!("{}.{}", to.api_version(), to.kind),
    })
}
