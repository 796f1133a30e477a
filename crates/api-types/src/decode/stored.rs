//! Empty and absent are one in protobuf, the stored form of built-in types.

use serde_json::Value;

use crate::schema::{Field, Kind, Schema, emit};

/// Makes of empty lists and maps what they are once they have been stored: absent, which prints as `null`.
///
/// Owners of fields are recorded before that step: whoever sends `rules: []` owns `rules`.
pub fn to_stored_form(schema: &Schema, value: &mut Value) {
    if has_empty_list(value) {
        walk(schema, value);
    }
}

/// A quick look without the schema: most objects have no empty list.
fn has_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty_list),
        Value::Object(entries) => entries.values().any(has_empty_list),
        _ => false,
    }
}

fn walk(schema: &Schema, value: &mut Value) {
    match (&schema.kind, value) {
        (Kind::Struct(layout), Value::Object(entries)) => {
            entries.retain(|key, child| match layout.field(key) {
                Some(field) => keep(field, child),
                None => true,
            });
        }
        (Kind::Map(map), Value::Object(entries)) => {
            entries.values_mut().for_each(|child| walk(&map.value, child));
        }
        (Kind::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|child| walk(&list.item, child));
        }
        _ => {}
    }
}

/// Settles a field's value; `false` when the field prints nothing.
fn keep(field: &Field, value: &mut Value) -> bool {
    let is_empty = match (&field.schema.kind, &*value) {
        (Kind::List(_), Value::Array(items)) => items.is_empty(),
        (Kind::Map(_), Value::Object(members)) => members.is_empty(),
        _ => false,
    };
    if !is_empty || field.pointer {
        walk(&field.schema, value);
        return true;
    }
    match emit::absent(field) {
        Some(absent) => {
            *value = absent;
            true
        }
        None => false,
    }
}
