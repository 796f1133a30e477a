//! The keywords that constrain one value.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::junctors::junctors;
use super::types::wrong_type;
use crate::field::{ErrorList, Path};
use crate::validation::format;

/// The keywords of a schema's node, as written.
pub(super) type Keywords = Map<String, Value>;

/// The keywords that constrain one value, whatever is below it.
pub(super) fn keywords(errors: &mut ErrorList, path: &Path<'_>, keywords: &Keywords, value: &Value) {
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
