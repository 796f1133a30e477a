//! Schemas of custom resources: structural, and without what cannot be served
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>).

use serde_json::{Map, Value};

use crate::field::{BadValue, ErrorList, Path};
use crate::validation::get::{entries, flag, get, items, text, texts};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const NOT_STRUCTURAL: &str = "must be empty to be structural";
/// Keywords that only a node outside `allOf`, `anyOf`, `oneOf` and `not` may have.
const OUTSIDE_ONLY: [&str; 7] = [
    "type",
    "default",
    "additionalProperties",
    "nullable",
    "title",
    "description",
    "x-kubernetes-preserve-unknown-fields",
];

/// Rules of the schema at the root of a version.
pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, schema: &Value) {
    if text(schema, "type") != "object" {
        let kind = text(schema, "type");
        if kind.is_empty() {
            errors.required(&path.child("type"), "must not be empty at the root");
        } else {
            errors.invalid(&path.child("type"), kind, "must be object at the root");
        }
    }
    keywords(errors, path, schema);
    metadata(errors, path, schema);
    if !errors.is_empty() {
        return;
    }
    structural(errors, path, schema, Level::Root);
    if errors.is_empty() {
        defaults(errors, path, schema);
    }
}

/// Calls `visit` for each schema right below one.
fn below(path: &Path<'_>, schema: &Value, mut visit: impl FnMut(&Path<'_>, &Value)) {
    if let Some(items) = schema.get("items").filter(|i| i.is_object()) {
        visit(&path.child("items"), items);
    }
    for (name, property) in entries(schema, "properties") {
        visit(&path.child("properties").key(name), property);
    }
    if let Some(additional) = schema.get("additionalProperties").filter(|a| a.is_object()) {
        visit(&path.child("additionalProperties"), additional);
    }
}

/// Calls `visit` for each schema that a logical junctor holds.
fn junctors(path: &Path<'_>, schema: &Value, mut visit: impl FnMut(&Path<'_>, &Value)) {
    for junctor in ["allOf", "anyOf", "oneOf"] {
        let path = path.child(junctor);
        for (i, part) in items(schema, junctor).iter().enumerate() {
            visit(&path.index(i), part);
        }
    }
    if let Some(not) = get(schema, "not") {
        visit(&path.child("not"), not);
    }
}

/// Keywords that are refused, or need others.
fn keywords(errors: &mut ErrorList, path: &Path<'_>, schema: &Value) {
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(&path.child("uniqueItems"), detail);
    }
    let additional = schema.get("additionalProperties");
    if additional.is_some()
        && get(schema, "properties").is_some_and(|p| p.as_object().is_some_and(|p| !p.is_empty()))
    {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.forbidden(&path.child("additionalProperties"), detail);
    }
    if additional == Some(&Value::Bool(false)) {
        errors.forbidden(&path.child("additionalProperties"), "additionalProperties cannot be set to false");
    }
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, &TYPES);
    }
    for key in ["definitions", "dependencies", "patternProperties"] {
        if get(schema, key).is_some() {
            errors.forbidden(&path.child(key), format!("{key} is not supported"));
        }
    }
    for key in ["$ref", "id"] {
        if !text(schema, key).is_empty() {
            errors.forbidden(&path.child(key), format!("{key} is not supported"));
        }
    }
    list_keywords(errors, path, schema, kind);
    below(path, schema, |path, part| keywords(errors, path, part));
    junctors(path, schema, |path, part| keywords(errors, path, part));
}

fn list_keywords(errors: &mut ErrorList, path: &Path<'_>, schema: &Value, kind: &str) {
    if kind == "array" {
        match schema.get("items") {
            None | Some(Value::Null) => errors.required(&path.child("items"), "must be specified"),
            Some(Value::Array(_)) => {
                errors.forbidden(&path.child("items"), "items must be a schema object and not an array")
            }
            Some(_) => {}
        }
    }
    let list = text(schema, "x-kubernetes-list-type");
    let at = path.child("x-kubernetes-list-type");
    if !list.is_empty() {
        if !matches!(list, "atomic" | "set" | "map") {
            errors.not_supported(&at, list, &["atomic", "set", "map"]);
        } else if kind != "array" {
            let detail = "must be array if x-kubernetes-list-type is specified";
            errors.invalid(&path.child("type"), kind, detail);
        }
    }
    let map = text(schema, "x-kubernetes-map-type");
    if !map.is_empty() {
        let at = path.child("x-kubernetes-map-type");
        if !matches!(map, "atomic" | "granular") {
            errors.not_supported(&at, map, &["atomic", "granular"]);
        } else if kind != "object" {
            let detail = "must be object if x-kubernetes-map-type is specified";
            errors.invalid(&path.child("type"), kind, detail);
        }
    }
    let keys: Vec<&str> = texts(schema, "x-kubernetes-list-map-keys").collect();
    let at = path.child("x-kubernetes-list-map-keys");
    let item = &schema["items"];
    match list {
        "map" if keys.is_empty() => {
            errors.required(&at, "must not be empty if x-kubernetes-list-type is map")
        }
        "map" => {
            if text(item, "type") != "object" {
                let detail = "must be object if parent array's x-kubernetes-list-type is map";
                errors.invalid(&path.child("items.type"), text(item, "type"), detail);
            } else if keys.iter().any(|k| item["properties"].get(*k).is_none()) {
                let shown = schema["x-kubernetes-list-map-keys"].clone();
                errors.invalid(&at, shown, "entries must all be names of item properties");
            }
        }
        "set" => set_items(errors, &path.child("items"), item),
        _ if !keys.is_empty() => {
            let shown = schema.get("x-kubernetes-list-type").cloned().unwrap_or(Value::Null);
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            errors.invalid(&path.child("x-kubernetes-list-type"), shown, detail);
        }
        _ => {}
    }
}

/// Elements of a set are compared whole.
fn set_items(errors: &mut ErrorList, path: &Path<'_>, item: &Value) {
    if flag(item, "nullable") {
        errors.forbidden(&path.child("nullable"), "cannot be nullable when x-kubernetes-list-type is set");
    }
    for (kind, key, word) in
        [("object", "x-kubernetes-map-type", "atomic"), ("array", "x-kubernetes-list-type", "atomic")]
    {
        if text(item, "type") == kind && text(item, key) != word {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            errors.invalid(&path.child(key), BadValue::maybe(get(item, key)), detail);
        }
    }
}

/// Metadata is the server's; a schema may only restrict names.
fn metadata(errors: &mut ErrorList, path: &Path<'_>, schema: &Value) {
    let Some(metadata) = schema.get("properties").and_then(|p| get(p, "metadata")) else { return };
    let allowed = |key: &str| matches!(key, "type" | "description" | "properties");
    let only_names = entries(metadata, "properties").all(|(name, _)| matches!(name, "name" | "generateName"));
    let plain = metadata.as_object().is_some_and(|m| m.keys().all(|k| allowed(k)));
    if !only_names || !plain {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(&path.child("properties").key("metadata"), detail);
    }
}

/// Where a node of the schema is.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Field,
    Item,
}

fn structural(errors: &mut ErrorList, path: &Path<'_>, schema: &Value, level: Level) {
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    junctors(path, schema, |path, part| {
        if !int_or_string {
            junctor_part(errors, path, part);
        }
    });
    if embedded
        && !preserves
        && schema.get("properties").is_none_or(|p| p.as_object().is_none_or(|p| p.is_empty()))
    {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
            x-kubernetes-preserve-unknown-fields";
        errors.required(&path.child("properties"), detail);
    }
    let kind = text(schema, "type");
    if kind.is_empty() && !int_or_string && !preserves {
        let what = match level {
            Level::Root => "must not be empty at the root",
            Level::Field => "must not be empty for specified object fields",
            Level::Item => "must not be empty for specified array items",
        };
        errors.required(&path.child("type"), what);
    }
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.invalid(&path.child("type"), kind, detail);
    }
    below(path, schema, |path, part| {
        let level = if path.to_string().ends_with(".items") { Level::Item } else { Level::Field };
        structural(errors, path, part, level);
    });
}

/// A schema inside a junctor constrains what the outside has declared, and declares nothing itself.
fn junctor_part(errors: &mut ErrorList, path: &Path<'_>, schema: &Value) {
    for key in OUTSIDE_ONLY {
        let set = match schema.get(key) {
            None | Some(Value::Null) | Some(Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        if set {
            errors.forbidden(&path.child(key), NOT_STRUCTURAL);
        }
    }
    below(path, schema, |path, part| junctor_part(errors, path, part));
    junctors(path, schema, |path, part| junctor_part(errors, path, part));
}

/// Defaults have only fields that the schema knows.
fn defaults(errors: &mut ErrorList, path: &Path<'_>, schema: &Value) {
    if let Some(default) = get(schema, "default")
        && has_unknown(schema, default)
    {
        errors.invalid(&path.child("default"), default.clone(), "must not have unknown fields");
    }
    below(path, schema, |path, part| defaults(errors, path, part));
}

fn has_unknown(schema: &Value, value: &Value) -> bool {
    if flag(schema, "x-kubernetes-preserve-unknown-fields") {
        return false;
    }
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&NONE);
            let additional = schema.get("additionalProperties").filter(|a| **a != Value::Bool(false));
            fields.iter().any(|(key, value)| match (known.get(key), additional) {
                (Some(part), _) => has_unknown(part, value),
                (None, Some(part)) => part.is_object() && has_unknown(part, value),
                (None, None) => true,
            })
        }
        Value::Array(list) => list.iter().any(|v| has_unknown(&schema["items"], v)),
        _ => false,
    }
}
