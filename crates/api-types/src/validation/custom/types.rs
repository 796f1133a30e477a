//! Types of values.

use serde_json::Value;

use crate::field::{Error, ErrorList, Path};

/// Whether a value has a type; `int_or_string` says what values of no type are.
pub(super) fn has_type(
    errors: &mut ErrorList,
    path: &Path<'_>,
    wanted: &str,
    int_or_string: bool,
    value: &Value,
) -> bool {
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_integer(value),
        "number" => value.is_number(),
        _ if int_or_string => value.is_string() || is_integer(value),
        _ => true,
    };
    if !fits {
        let wanted = if wanted.is_empty() { "integer,string" } else { wanted };
        errors.push(wrong_type(path, wanted, type_of(value)));
    }
    fits
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The error of a value of another type.
pub(super) fn wrong_type(path: &Path<'_>, wanted: &str, shown: &str) -> Error {
    let detail = format!("{path} in body must be of type {wanted}: {}", crate::field::quote(shown));
    Error::type_invalid(path, shown, detail)
}
