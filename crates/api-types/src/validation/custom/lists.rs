//! Lists without duplicates.

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::schema::{Kind, Schema, Topology};

/// What is wrong with the sets and keyed lists of a value.
pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, schema: &Schema, value: &Value) {
    match (&schema.kind, value) {
        (Kind::Struct(fields), Value::Object(entries)) => {
            for field in fields.sorted().filter(|field| field.schema.custom.is_some()) {
                if let Some(value) = entries.get(&*field.name) {
                    validate(errors, &path.child(&field.name), &field.schema, value);
                }
            }
        }
        (Kind::Map(map), Value::Object(entries)) => {
            for (key, value) in entries {
                validate(errors, &path.key(key), &map.value, value);
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            duplicates(errors, path, &schema.topology, items);
            for (i, item) in items.iter().enumerate() {
                validate(errors, &path.index(i), &list.item, item);
            }
        }
        _ => {}
    }
}

/// Sets have no equal elements, lists with keys no elements of equal keys.
fn duplicates(errors: &mut ErrorList, path: &Path<'_>, topology: &Topology, items: &[Value]) {
    let identity = |item: &Value| -> Option<Value> {
        match topology {
            Topology::Set => Some(item.clone()),
            Topology::Map(keys) => {
                let part = |key: &str| item.get(key).map(|v| (key.to_owned(), v.clone()));
                Some(Value::Object(keys.iter().filter_map(|key| part(key)).collect()))
            }
            _ => None,
        }
    };
    let mut seen: HashSet<String> = HashSet::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else { return };
        // Keys of maps are sorted, so that equal values have one text.
        if !seen.insert(identity.to_string()) {
            errors.duplicate(&path.index(i), identity);
        }
    }
}
