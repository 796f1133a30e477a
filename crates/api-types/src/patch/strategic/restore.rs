//! Whether a patched document still has its type, with the wording that users of strategic merge patch know.

use serde_json::Value;

use super::is_untyped;
use crate::go_text::{kind_name, type_name};
use crate::schema::{Kind, Schema};

/// The first value that is not of its type.
pub(super) fn misfit(schema: &Schema, value: &Value) -> Option<String> {
    if value.is_null() || is_untyped(&schema.kind) {
        return None;
    }
    match (&schema.kind, value) {
        (Kind::Struct(fields), Value::Object(entries)) => {
            fields.fields.iter().find_map(|f| misfit(&f.schema, entries.get(&*f.name)?))
        }
        (Kind::Struct(_), other) => Some(format!("cannot restore struct from: {}", kind_name(other))),
        (Kind::Map(map), Value::Object(entries)) => entries.values().find_map(|v| misfit(&map.value, v)),
        (Kind::Map(_), other) => Some(format!("cannot restore map from {}", kind_name(other))),
        (Kind::List(list), Value::Array(items)) => items.iter().find_map(|v| misfit(&list.item, v)),
        (Kind::List(_), other) => Some(format!("cannot restore slice from {}", kind_name(other))),
        (kind, value) => scalar(kind, value),
    }
}

fn scalar(kind: &Kind, value: &Value) -> Option<String> {
    let name = match kind {
        Kind::Bool => "bool",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Float32 => "float32",
        Kind::Float64 => "float64",
        Kind::String => "string",
        _ => return None,
    };
    let fits = match kind {
        Kind::Bool => value.is_boolean(),
        Kind::String => value.is_string(),
        Kind::Float32 | Kind::Float64 => value.is_number(),
        _ => value.as_i64().is_some() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
    };
    if fits {
        return None;
    }
    // Go converts between numbers, and from numbers to strings, in a first step that then names both types.
    let converts = value.is_number() && !matches!(kind, Kind::Bool);
    Some(if converts {
        format!("cannot convert {} to {name}", type_name(value))
    } else {
        format!("unrecognized type: {name}")
    })
}
