//! Schemas within schemas: `allOf`, `anyOf`, `oneOf`, `not`. They are small, and walked as they are written.

use serde_json::Value;

use super::keywords::{Keywords, keywords as check_keywords};
use super::types::has_type;
use crate::field::{ErrorList, Path};

/// `allOf`, `anyOf`, `oneOf` and `not`.
pub(super) fn junctors(errors: &mut ErrorList, path: &Path<'_>, keywords: &Keywords, value: &Value) {
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
pub(super) fn raw(errors: &mut ErrorList, path: &Path<'_>, schema: &Value, value: &Value) {
    let Some(map) = schema.as_object() else { return };
    let wanted = map.get("type").and_then(Value::as_str).unwrap_or_default();
    if !has_type(errors, path, wanted, false, value) {
        return;
    }
    check_keywords(errors, path, map, value);
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
