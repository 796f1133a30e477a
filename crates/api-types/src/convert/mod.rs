//! Conversion between the served versions of one resource.
//!
//! Most versions of a kind have one shape, and only `apiVersion` changes. The others are functions over `Value`, each way:
//! events of the two event groups, the two versions of HorizontalPodAutoscaler, and `resource.k8s.io/v1beta1`.

mod autoscaling;
mod dra;
mod events;
#[cfg(test)]
mod tests;

use serde_json::{Map as JsonMap, Value};

use crate::decode::{self, DecodeError};
use crate::resource::ResourceInfo;

/// An object in its printed form.
type Object = JsonMap<String, Value>;

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
    /// The result is not an object of the target type.
    #[error("reading the converted {kind}")]
    Shape {
        /// Kind of the target.
        kind: String,
        /// What does not fit.
        source: DecodeError,
    },
}

/// Converts an object of `from` into one of `to`. `apiVersion` and `kind`, when present, become those of `to`.
pub fn convert(from: &ResourceInfo, to: &ResourceInfo, mut value: Value) -> Result<Value, ConvertError> {
    if from.group == to.group && from.version == to.version && from.kind == to.kind {
        return Ok(value);
    }
    if from.kind != to.kind {
        return Err(unknown(from, to));
    }
    if let Value::Object(object) = &mut value {
        match (&*from.group, &*from.version, &*to.group, &*to.version) {
            ("", "v1", "events.k8s.io", "v1") => events::to_events(object),
            ("events.k8s.io", "v1", "", "v1") => events::to_core(object),
            ("autoscaling", "v1", "autoscaling", "v2") => autoscaling::to_v2(object),
            ("autoscaling", "v2", "autoscaling", "v1") => autoscaling::to_v1(object),
            ("resource.k8s.io", "v1beta1", _, "v1beta2" | "v1") => dra::from_v1beta1(&from.kind, object),
            ("resource.k8s.io", "v1beta2" | "v1", _, "v1beta1") => dra::to_v1beta1(&from.kind, object),
            (a, _, b, _) if a == b => {}
            _ => return Err(unknown(from, to)),
        }
        if object.contains_key("apiVersion") {
            object.insert("apiVersion".into(), to.api_version().into());
        }
    }
    decode::normalize(&to.schema, value)
        .map_err(|source| ConvertError::Shape { kind: to.kind.to_string(), source })
}

fn unknown(from: &ResourceInfo, to: &ResourceInfo) -> ConvertError {
    ConvertError::Unknown {
        from: format!("{}.{}", from.api_version(), from.kind),
        to: format!("{}.{}", to.api_version(), to.kind),
    }
}

/// Moves fields to other names.
fn rename(object: &mut Object, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = object.remove(*from) {
            object.insert((*to).to_string(), value);
        }
    }
}
