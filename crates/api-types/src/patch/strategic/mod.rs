//! Strategic merge patch: a merge patch whose lists are merged by key where the type says so, with directives.
//!
//! | in the patch | meaning |
//! |---|---|
//! | `$patch: replace` in a map | the map is replaced by the rest of this one |
//! | `$patch: delete` in a map | the map is emptied; in a list element: the element with this key goes |
//! | `$patch: replace` as a list element | the list is replaced by the other elements |
//! | `$retainKeys: [..]` | keys of the map that are not listed are dropped |
//! | `$deleteFromPrimitiveList/x: [..]` | these go from the list `x` |
//! | `$setElementOrder/x: [..]` | the order of the list `x` |

mod list;
mod order;
mod restore;

use serde_json::{Map, Value};

use super::Result;
use super::json::unreadable;
use crate::go_text;
use crate::schema::{Field, Kind, Schema};
use crate::status::ApiError;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// Applies a strategic merge patch to a document of the given type and returns the new document.
///
/// A patch that breaks the rules of its directives answers 500 without a reason, as upstream does; one whose result
/// is not of the type answers 422.
pub fn strategic_merge(schema: &Schema, document: &Value, patch: &Value) -> Result<Value> {
    let empty = Object::new();
    let original = document.as_object().unwrap_or(&empty).clone();
    let Some(changes) = patch.as_object() else {
        let found = go_text::kind_name(patch);
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    };
    let merged =
        merge_map(original, changes.clone(), Some(schema)).map_err(|why| ApiError::plain(500, "", why))?;
    let merged = Value::Object(merged);
    match restore::misfit(schema, &merged) {
        Some(why) => Err(unreadable(&go_text::plain(patch), why)),
        None => Ok(merged),
    }
}

/// What the type says about merging the value under a key.
struct Rule<'a> {
    child: Option<&'a Schema>,
    merge: bool,
    replace: bool,
    merge_key: &'a str,
}

fn rule<'a>(schema: Option<&'a Schema>, key: &str) -> Rule<'a> {
    let field: Option<&Field> = schema.and_then(Schema::as_struct).and_then(|s| s.field(key));
    match field {
        Some(field) => Rule {
            child: Some(&field.schema),
            merge: field.patch_merge,
            replace: field.patch_replace,
            merge_key: field.patch_merge_key.as_deref().unwrap_or_default(),
        },
        None => Rule {
            child: schema.and_then(Schema::map_value).map(|s| &**s),
            merge: false,
            replace: false,
            merge_key: "",
        },
    }
}

fn merge_map(
    mut original: Object,
    mut patch: Object,
    schema: Option<&Schema>,
) -> std::result::Result<Object, String> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    order::merge_ordered_lists(&mut original, &mut patch, schema)?;
    for (key, change) in patch {
        let (key, deletes) = match key.strip_prefix(DELETE_PREFIX) {
            Some(list) => (list.to_owned(), true),
            None => (key, false),
        };
        if change.is_null() {
            original.remove(&key);
            continue;
        }
        let Some(before) = original.get_mut(&key) else {
            if !deletes && let Some(kept) = without_directives(change) {
                original.insert(key, kept);
            }
            continue;
        };
        let rule = rule(schema, &key);
        *before = match (before.take(), change) {
            (Value::Object(_), Value::Object(change)) if rule.replace => Value::Object(change),
            (Value::Object(before), Value::Object(change)) => {
                Value::Object(merge_map(before, change, rule.child)?)
            }
            (Value::Array(before), Value::Array(change)) => {
                Value::Array(list::merge_by_rule(before, change, &rule, deletes)?)
            }
            (before, _) if deletes => before,
            (_, change) => without_nulls(change),
        };
    }
    Ok(original)
}

fn unknown_directive(directive: &Value, patch: &Object) -> String {
    let shown = go_text::plain(&Value::Object(patch.clone()));
    format!("unknown patch type: {} in map: {shown}", go_text::plain(directive))
}

fn retain_keys(original: &mut Object, patch: &mut Object) -> std::result::Result<(), String> {
    let bad = || "invalid patch format of retainKeys".to_owned();
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or_else(bad)?;
    let listed = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let strays = patch.iter().any(|(key, value)| {
        !(value.is_null() || key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX) || listed(key))
    });
    if strays {
        return Err(bad());
    }
    original.retain(|key, _| listed(key));
    Ok(())
}

/// A value that is added where nothing was: directives and nulls have nothing to act on. `None` when it is only there
/// to delete.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut entries) => {
            if entries.remove(DIRECTIVE).is_some_and(|d| d == "delete") {
                return None;
            }
            entries.retain(|key, value| {
                !(value.is_null()
                    || key == RETAIN_KEYS
                    || key.starts_with(DELETE_PREFIX)
                    || key.starts_with(ORDER_PREFIX))
            });
            let kept = entries.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => {
            let is_marker =
                |v: &Value| v.as_object().is_some_and(|o| o.len() == 1 && o.contains_key(DIRECTIVE));
            let items = items.into_iter().filter(|v| !is_marker(v));
            Some(Value::Array(items.filter_map(without_directives).collect()))
        }
        other => Some(other),
    }
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(entries) = &mut value {
        entries.retain(|_, v| !v.is_null());
        for child in entries.values_mut() {
            *child = without_nulls(child.take());
        }
    }
    value
}

/// Whether a node holds values of its own JSON type only; used by [`restore`].
fn is_untyped(kind: &Kind) -> bool {
    matches!(kind, Kind::Any | Kind::RawExtension | Kind::FieldsV1 | Kind::SchemaOr(..))
}
