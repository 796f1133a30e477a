//! Defaults of custom resources.

use serde_json::Value;

use crate::schema::{Kind, Schema};

/// Fills in `default`s top down: a field that is absent, or `null` where `null` is no value, takes its default, and defaults
/// inside a default apply too. A `null` that is neither allowed nor replaced is dropped.
pub(super) fn apply(schema: &Schema, value: &mut Value) {
    match (&schema.kind, value) {
        (Kind::Struct(layout), Value::Object(object)) => {
            for field in &layout.fields {
                let missing = match object.get(&*field.name) {
                    None => true,
                    Some(Value::Null) => !field.schema.nullable && field.schema.custom.is_some(),
                    Some(_) => false,
                };
                if missing {
                    match &field.schema.default {
                        Some(default) => object.insert(field.name.to_string(), default.clone()),
                        None => object.remove(&*field.name),
                    };
                }
                if let Some(child) = object.get_mut(&*field.name) {
                    apply(&field.schema, child);
                }
            }
        }
        (Kind::Map(map), Value::Object(object)) => {
            let default = map.value.default.as_ref().filter(|_| !map.value.nullable);
            object.retain(|_, child| {
                !child.is_null() || map.value.nullable || default.is_some() || map.value.custom.is_none()
            });
            for child in object.values_mut() {
                if let (Value::Null, Some(default)) = (&*child, default) {
                    *child = default.clone();
                }
                apply(&map.value, child);
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            for child in items {
                if let (Value::Null, false, Some(default)) = (&*child, list.item.nullable, &list.item.default)
                {
                    *child = default.clone();
                }
                apply(&list.item, child);
            }
        }
        _ => {}
    }
}
