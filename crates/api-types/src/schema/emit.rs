//! What Go's JSON encoder prints: which empty values are left out, and what an absent field prints.
//!
//! Go structs have no "absent": a field that is not a pointer has its zero value, and `omitempty` decides whether that is
//! printed. `omitempty` has no effect on structs, so an empty one prints as `{}` and a zero time as `null`.

use serde_json::{Map as JsonMap, Value};

use super::{Field, Kind, Schema, Struct};

/// What the zero value of a type prints as.
pub(crate) fn zero(schema: &Schema) -> Value {
    match &schema.kind {
        Kind::Bool => Value::Bool(false),
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Float32
        | Kind::Float64
        | Kind::IntOrString => Value::from(0),
        Kind::String => Value::String(String::new()),
        Kind::Duration => Value::from("0s"),
        Kind::Quantity => Value::from("0"),
        Kind::Struct(layout) => {
            let mut object = JsonMap::new();
            fill(layout, &mut object);
            Value::Object(object)
        }
        Kind::Any
        | Kind::Bytes
        | Kind::Time
        | Kind::MicroTime
        | Kind::RawExtension
        | Kind::FieldsV1
        | Kind::SchemaOr(..)
        | Kind::List(_)
        | Kind::Map(_) => Value::Null,
    }
}

/// What an absent field prints, if anything.
pub(crate) fn absent(field: &Field) -> Option<Value> {
    if field.omitzero || (field.omitempty && (field.pointer || can_be_empty(&field.schema.kind))) {
        return None;
    }
    Some(if field.pointer { Value::Null } else { zero(&field.schema) })
}

/// What a field with a value prints, if anything. The value is in its type's printed form; `null` is a missing value.
pub(crate) fn keep(field: &Field, value: Value) -> Option<Value> {
    if value.is_null() {
        return absent(field);
    }
    if field.pointer {
        return Some(value);
    }
    let empty = match &value {
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Null => true,
    };
    let left_out = empty && ((field.omitempty && can_be_empty(&field.schema.kind)) || field.omitzero);
    // An empty list of field owners ends their tracking, so it has to be seen by whoever tracks them.
    let ends_tracking = left_out && field.name == "managedFields" && value.is_array();
    (!left_out || ends_tracking).then_some(value)
}

/// Adds the fields that Go prints although nobody set them.
pub(crate) fn fill(layout: &Struct, object: &mut JsonMap<String, Value>) {
    for (field, value) in unset(layout, |name| object.contains_key(name)) {
        object.insert(field.name.to_string(), value);
    }
}

/// The fields that Go prints although nobody set them, and what it prints.
pub(crate) fn unset(layout: &Struct, is_set: impl Fn(&str) -> bool) -> Vec<(&Field, Value)> {
    let always = layout.always.iter().map(|index| &layout.fields[usize::from(*index)]);
    always.filter(|f| !is_set(&f.name)).filter_map(|f| absent(f).map(|value| (f, value))).collect()
}

/// Whether a field prints something when it is absent.
pub(super) fn always_printed(field: &Field) -> bool {
    !(field.omitzero || (field.omitempty && (field.pointer || can_be_empty(&field.schema.kind))))
}

/// `omitempty` applies to booleans, numbers, strings, lists and maps, and to no struct.
fn can_be_empty(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Bool
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Float32
            | Kind::Float64
            | Kind::String
            | Kind::Bytes
            | Kind::List(_)
            | Kind::Map(_)
    )
}
