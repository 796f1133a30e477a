//! Values of custom resources against the keywords of their schema (OpenAPI v3 as apiextensions has it). Rules in CEL
//! are the apiserver's.
//!
//! A change is judged by what it changes: a value that is as it was stays acceptable although the schema has become
//! stricter since (KEP-4008).

mod junctors;
mod keywords;
mod lists;
#[cfg(test)]
mod tests;
mod types;

use serde_json::{Value, json};

use self::junctors::raw;
use self::keywords::keywords;
use self::types::has_type;
use crate::field::{ErrorList, Path};
use crate::name;
use crate::resource::ResourceInfo;
use crate::schema::{Kind, Schema, Topology};

/// What is wrong with an object of a custom resource; `old` is what it replaces.
pub(super) fn validate(schema: &Schema, object: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    if schema.custom.is_none() {
        return errors;
    }
    walk(&mut errors, &Path::ROOT, schema, object, old);
    let list_errors = |object| {
        let mut errors = ErrorList::new();
        lists::validate(&mut errors, &Path::ROOT, schema, object);
        errors
    };
    let found = list_errors(object);
    if !found.is_empty() && old.is_none_or(|old| list_errors(old).is_empty()) {
        errors.append(found);
    }
    errors
}

/// What is wrong with the replicas that a scale subresource would show.
pub(super) fn validate_scale(resource: &ResourceInfo, object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(scale) = resource.custom.as_ref().and_then(|custom| custom.scale.as_ref()) else {
        return errors;
    };
    for path in [&scale.spec_replicas, &scale.status_replicas] {
        let found = path.split('.').fold(object, |value, key| &value[key]);
        let at = Path::new(path);
        match found.as_i64() {
            Some(count) if count < 0 => errors.invalid(&at, count, "should be a non-negative integer"),
            Some(count) if count > i64::from(i32::MAX) => {
                errors.invalid(&at, count, format!("should be less than or equal to {}", i32::MAX));
            }
            _ => {}
        }
    }
    errors
}

fn walk(errors: &mut ErrorList, path: &Path<'_>, schema: &Schema, value: &Value, old: Option<&Value>) {
    // `metadata`, `apiVersion` and `kind` are built in and have been decoded strictly.
    let Some(custom) = &schema.custom else { return };
    if old == Some(value) || (value.is_null() && schema.nullable) {
        return;
    }
    let int_or_string = matches!(schema.kind, Kind::IntOrString);
    if !has_type(errors, path, custom.type_.as_str(), int_or_string, value) {
        return;
    }
    keywords(errors, path, &custom.keywords, value);
    match (&schema.kind, value) {
        (Kind::Struct(fields), Value::Object(entries)) => {
            if fields.embedded_resource {
                embedded(errors, path, entries);
            }
            if let (Some(rules), Some(metadata)) = (&custom.metadata, entries.get("metadata")) {
                raw(errors, &path.child("metadata"), rules, metadata);
            }
            for field in fields.sorted() {
                if let Some(value) = entries.get(&*field.name) {
                    let old = old.and_then(|old| old.get(&*field.name));
                    walk(errors, &path.child(&field.name), &field.schema, value, old);
                }
            }
        }
        (Kind::Map(map), Value::Object(entries)) => {
            for (key, value) in entries {
                let old = old.and_then(|old| old.get(key));
                walk(errors, &path.child(key), &map.value, value, old);
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                walk(errors, &path.index(i), &list.item, item, counterpart(&schema.topology, item, old));
            }
        }
        _ => {}
    }
}

/// The element of the old list that an element of the new one stands for: the one of the same keys. Elements of other
/// lists have no identity.
pub fn counterpart<'v>(topology: &Topology, item: &Value, old: Option<&'v Value>) -> Option<&'v Value> {
    let Topology::Map(keys) = topology else { return None };
    let same = |other: &&Value| keys.iter().all(|key| other.get(&**key) == item.get(&**key));
    old?.as_array()?.iter().find(same)
}

/// An object within an object says what it is.
fn embedded(errors: &mut ErrorList, path: &Path<'_>, entries: &serde_json::Map<String, Value>) {
    let text = |key: &str| entries.get(key).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version.is_empty() {
        errors.required(&path.child("apiVersion"), "");
    } else if version.matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {version}");
        errors.invalid(&path.child("apiVersion"), version, why);
    }
    let wrong = name::dns1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        errors.required(&path.child("kind"), "");
    } else if !wrong.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.invalid(&path.child("kind"), json!(kind), why);
    }
}
