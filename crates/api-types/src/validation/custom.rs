//! Values of custom resources against the keywords of their schema (OpenAPI v3 as apiextensions has it). Rules in CEL
//! are the apiserver's.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::format;
use crate::field::{Error, ErrorList, Path};
use crate::schema::{Kind, Schema, Topology};

type Keywords = Map<String, Value>;

/// What is wrong with an object of a custom resource.
pub(super) fn validate(schema: &Schema, object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(&mut errors, &Path::ROOT, schema, object);
    errors
}

fn walk(errors: &mut ErrorList, path: &Path<'_>, schema: &Schema, value: &Value) {
    // `metadata`, `apiVersion` and `kind` are built in and have been decoded strictly.
    let Some(custom) = &schema.custom else { return };
    if value.is_null() && schema.nullable {
        return;
    }
    if !has_type(errors, path, custom.type_.as_str(), schema, value) {
        return;
    }
    keywords(errors, path, &custom.keywords, value);
    match (&schema.kind, value) {
        (Kind::Struct(fields), Value::Object(entries)) => {
            if fields.embedded_resource {
                for key in ["apiVersion", "kind"] {
                    if entries.get(key).and_then(Value::as_str).unwrap_or_default().is_empty() {
                        errors.required(&path.child(key), "");
                    }
                }
            }
            for field in fields.sorted() {
                if let Some(value) = entries.get(&*field.name) {
                    walk(errors, &path.child(&field.name), &field.schema, value);
                }
            }
        }
        (Kind::Map(map), Value::Object(entries)) => {
            for (key, value) in entries {
                walk(errors, &path.child(key), &map.value, value);
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                walk(errors, &path.index(i), &list.item, item);
            }
            duplicates(errors, path, &schema.topology, items);
        }
        _ => {}
    }
}

fn has_type(errors: &mut ErrorList, path: &Path<'_>, wanted: &str, schema: &Schema, value: &Value) -> bool {
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_integer(value),
        "number" => value.is_number(),
        _ if matches!(schema.kind, Kind::IntOrString) => value.is_string() || is_integer(value),
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

fn wrong_type(path: &Path<'_>, wanted: &str, shown: &str) -> Error {
    let detail = format!("{path} in body must be of type {wanted}: {}", crate::field::quote(shown));
    Error::type_invalid(path, shown, detail)
}

/// The keywords that constrain one value, whatever is below it.
fn keywords(errors: &mut ErrorList, path: &Path<'_>, keywords: &Keywords, value: &Value) {
    let number = |key: &str| keywords.get(key).and_then(Value::as_f64);
    let count = |key: &str| keywords.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let flag = |key: &str| keywords.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut fail = |value: Value, what: String| errors.invalid(path, value, format!("{path} in body {what}"));
    match value {
        Value::Number(found) => {
            let (shown, found) = (value.clone(), found.as_f64().unwrap_or(f64::NAN));
            if let Some(max) = number("maximum") {
                let strict = flag("exclusiveMaximum");
                if found > max || (strict && found >= max) {
                    let or_equal = if strict { "" } else { " or equal to" };
                    fail(shown.clone(), format!("should be less than{or_equal} {max}"));
                }
            }
            if let Some(min) = number("minimum") {
                let strict = flag("exclusiveMinimum");
                if found < min || (strict && found <= min) {
                    let or_equal = if strict { "" } else { " or equal to" };
                    fail(shown.clone(), format!("should be greater than{or_equal} {min}"));
                }
            }
            if let Some(step) = number("multipleOf")
                && (found / step).fract() != 0.0
            {
                fail(shown, format!("should be a multiple of {step}"));
            }
        }
        Value::String(text) => {
            let length = text.chars().count();
            if count("minLength").is_some_and(|min| length < min) {
                let min = count("minLength").unwrap_or(0);
                fail(value.clone(), format!("should be at least {min} chars long"));
            }
            if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str)
                && !matches(pattern, text)
            {
                fail(value.clone(), format!("should match '{pattern}'"));
            }
            if let Some(max) = count("maxLength").filter(|max| length > *max) {
                errors.too_long(path, max);
            }
            let format = keywords.get("format").and_then(Value::as_str).unwrap_or_default();
            if !format::is_valid(format, text) {
                errors.push(wrong_type(path, format, text));
            }
        }
        Value::Array(items) => {
            if let Some(min) = count("minItems").filter(|min| items.len() < *min) {
                fail(Value::from(items.len()), format!("should have at least {min} items"));
            }
            if let Some(max) = count("maxItems").filter(|max| items.len() > *max) {
                errors.too_many(path, items.len(), max);
            }
        }
        Value::Object(entries) => {
            if let Some(min) = count("minProperties").filter(|min| entries.len() < *min) {
                fail(Value::from(entries.len()), format!("should have at least {min} properties"));
            }
            if let Some(max) = count("maxProperties").filter(|max| entries.len() > *max) {
                errors.too_many(path, entries.len(), max);
            }
            for key in keywords.get("required").and_then(Value::as_array).into_iter().flatten() {
                let key = key.as_str().unwrap_or_default();
                if !entries.contains_key(key) {
                    errors.required(&path.child(key), "");
                }
            }
        }
        _ => {}
    }
    if let Some(allowed) = keywords.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let texts: Vec<Cow<'_, str>> =
            allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string().into(), Cow::from)).collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        errors.not_supported(path, value.clone(), &texts);
    }
    junctors(errors, path, keywords, value);
}

/// `allOf`, `anyOf`, `oneOf` and `not`.
fn junctors(errors: &mut ErrorList, path: &Path<'_>, keywords: &Keywords, value: &Value) {
    let parts =
        |key: &str| keywords.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let fits = |part: &Value| {
        let mut errors = ErrorList::new();
        raw(&mut errors, path, part, value);
        errors.is_empty()
    };
    let name = path.to_string();
    let mut fail = |what: &str| errors.invalid(path, "", format!("\"{name}\" {what}"));
    let any = parts("anyOf");
    if !any.is_empty() && !any.iter().any(fits) {
        fail("must validate at least one schema (anyOf)");
    }
    let one = parts("oneOf");
    if !one.is_empty() {
        match one.iter().filter(|part| fits(part)).count() {
            0 => fail("must validate one and only one schema (oneOf). Found none valid"),
            1 => {}
            n => {
                fail(&format!("must validate one and only one schema (oneOf). Found {n} valid alternatives"))
            }
        }
    }
    if keywords.get("not").is_some_and(fits) {
        fail("must not validate the schema (not)");
    }
    let all = parts("allOf");
    if !all.iter().all(fits) {
        fail("must validate all the schemas (allOf)");
    }
    for part in all {
        raw(errors, path, part, value);
    }
}

/// A schema inside a junctor, as written.
fn raw(errors: &mut ErrorList, path: &Path<'_>, schema: &Value, value: &Value) {
    let Some(map) = schema.as_object() else { return };
    let wanted = map.get("type").and_then(Value::as_str).unwrap_or_default();
    if !has_type(errors, path, wanted, &Schema::default(), value) {
        return;
    }
    keywords(errors, path, map, value);
    match value {
        Value::Object(entries) => {
            for (key, part) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if let Some(value) = entries.get(key) {
                    raw(errors, &path.child(key), part, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(part) = map.get("items") {
                for (i, item) in items.iter().enumerate() {
                    raw(errors, &path.index(i), part, item);
                }
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
    let mut seen: Vec<Value> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else { return };
        if seen.contains(&identity) {
            errors.duplicate(&path.index(i), identity);
        } else {
            seen.push(identity);
        }
    }
}

/// Whether a text matches; a pattern that cannot be compiled was refused with its definition.
fn matches(pattern: &str, text: &str) -> bool {
    /// Compiled patterns kept per thread; all are dropped when there are more.
    const MAX: usize = 256;
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Option<Regex>>> = RefCell::new(HashMap::new());
    }
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() > MAX {
            compiled.clear();
        }
        let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().is_none_or(|r| r.is_match(text))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{SchemaRef, from_open_api};

    fn schema() -> SchemaRef {
        let spec = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "maxLength": 5, "pattern": "^[a-z]+$"},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "f": {"type": "number", "multipleOf": 0.5},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "ip": {"type": "string", "format": "ipv4"},
            "port": {"x-kubernetes-int-or-string": true},
            "either": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
                "oneOf": [{"required": ["x"]}, {"required": ["y"]}]}}});
        from_open_api(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
    }

    #[test]
    fn values_are_checked() {
        let cases = [
            (
                json!({"name": "ab", "size": 9, "port": 80, "ip": "1.2.3.4", "f": 1.5, "either": {"x": ""}}),
                "",
            ),
            (json!({}), "spec.name: Required value"),
            (json!({"name": "abcdef"}), "spec.name: Too long: may not be more than 5 bytes"),
            (
                json!({"name": "A"}),
                "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'",
            ),
            (
                json!({"name": "a", "size": "x"}),
                "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            ),
            (
                json!({"name": "a", "size": 0}),
                "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ),
            (
                json!({"name": "a", "f": 0.3}),
                "spec.f: Invalid value: 0.3: spec.f in body should be a multiple of 0.5",
            ),
            (
                json!({"name": "a", "mode": "c"}),
                "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            ),
            (json!({"name": "a", "tags": ["x", "x"]}), "spec.tags[1]: Duplicate value: \"x\""),
            (
                json!({"name": "a", "tags": ["x", "y", "z"]}),
                "spec.tags: Too many: 3: must have at most 2 items",
            ),
            (
                json!({"name": "a", "ip": "1.2.3"}),
                "spec.ip: Invalid value: \"1.2.3\": spec.ip in body must be of type ipv4: \"1.2.3\"",
            ),
            (
                json!({"name": "a", "either": {}}),
                "spec.either: Invalid value: \"\": \"spec.either\" must validate one and only one schema (oneOf). Found none valid",
            ),
        ];
        for (spec, expected) in cases {
            let errors = validate(&schema(), &json!({"spec": spec}));
            let got = if errors.is_empty() { String::new() } else { errors.to_string() };
            assert_eq!(got, expected, "{spec}");
        }
    }
}
