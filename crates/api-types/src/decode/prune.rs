//! Dropping what a schema does not know.

use serde_json::Value;

use super::walk::join;
use crate::schema::{Kind, Schema};

/// Drops fields that the schema does not know; returns their paths, sorted.
pub fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut dropped = Vec::new();
    prune_at(schema, value, &mut String::new(), &mut dropped);
    dropped.sort();
    dropped
}

fn prune_at(schema: &Schema, value: &mut Value, path: &mut String, dropped: &mut Vec<String>) {
    let len = path.len();
    match (&schema.kind, value) {
        (Kind::Struct(layout), Value::Object(object)) => {
            object.retain(|key, child| {
                join(path, key);
                let known = match layout.field(key) {
                    Some(field) => {
                        prune_at(&field.schema, child, path, dropped);
                        true
                    }
                    None => layout.preserve_unknown,
                };
                if !known {
                    dropped.push(path.clone());
                }
                path.truncate(len);
                known
            });
        }
        (Kind::Map(map), Value::Object(object)) => {
            for (key, child) in object {
                join(path, key);
                prune_at(&map.value, child, path, dropped);
                path.truncate(len);
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            for (index, child) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{index}]"));
                prune_at(&list.item, child, path, dropped);
                path.truncate(len);
            }
        }
        _ => {}
    }
}
