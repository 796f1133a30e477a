use serde_json::{Map, Value};

use super::Result;
use crate::field::quote;
use crate::status::{ApiError, Details, Status, reason};

/// A patch with more operations than this is refused.
const MAX_OPERATIONS: usize = 10_000;

/// What the copies of one patch may add up to, in bytes of JSON: each may double a document.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// Applies a JSON Patch (RFC 6902) to a document, which is left half-changed on failure.
///
/// Three liberties of upstream's implementation are kept, since clients rely on them: `replace` of an absent map key
/// adds it, `copy` of an absent key copies null, and negative array indexes count from the end.
pub fn json_patch(document: &mut Value, patch: &Value) -> Result<()> {
    let Some(operations) = patch.as_array() else {
        let found = match patch {
            Value::Object(_) => "object",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            _ => return Ok(()),
        };
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type jsonpatch.Patch"
        )));
    };
    if operations.len() > MAX_OPERATIONS {
        let found = operations.len();
        return Err(ApiError::request_entity_too_large(&format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {found}"
        )));
    }
    let mut copied = 0;
    for operation in operations {
        if apply(document, operation, &mut copied).is_none() {
            return Err(rejected());
        }
    }
    Ok(())
}

/// The answer to every operation that cannot be done; upstream does not say which.
fn rejected() -> ApiError {
    let message = "the server rejected our request due to an error in our request".to_owned();
    let details = Some(Details::default());
    Status { code: 422, reason: reason::INVALID.into(), message, details }.into()
}

/// Does one operation; `None` when it cannot be done.
fn apply(document: &mut Value, operation: &Value, copied: &mut usize) -> Option<()> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let path = text("path")?;
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text("op")? {
        "add" => add(document, path, value()),
        "remove" => remove(document, path).map(drop),
        "replace" => replace(document, path, value()),
        "move" => {
            let moved = remove(document, text("from")?)?;
            add(document, path, moved)
        }
        "copy" => {
            let value = get(document, text("from")?)?.unwrap_or(&Value::Null);
            *copied += value.to_string().len();
            (*copied <= MAX_COPIED_BYTES).then_some(())?;
            let value = value.clone();
            add(document, path, value)
        }
        "test" => {
            let expected = value();
            (get(document, path)?.unwrap_or(&Value::Null) == &expected).then_some(())
        }
        _ => None,
    }
}

/// The parent container and the last token of a path; `None` for the document itself or a missing parent.
fn parent<'v>(document: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let (above, last) = path.rsplit_once('/')?;
    let mut current = document;
    for token in above.split('/').skip(1) {
        current = match current {
            Value::Object(entries) => entries.get_mut(&unescape(token))?,
            Value::Array(items) => {
                let index = index(token, items.len())?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    Some((current, unescape(last)))
}

/// The value at a path: the outer `None` when the way there is missing, the inner when only the last key is.
fn get<'v>(document: &'v mut Value, path: &str) -> Option<Option<&'v Value>> {
    if path.is_empty() {
        return Some(Some(document));
    }
    let (container, key) = parent(document, path)?;
    match container {
        Value::Object(entries) => Some(entries.get(&key)),
        Value::Array(items) => items.get(index(&key, items.len())?).map(Some),
        _ => None,
    }
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *document = value;
        return Some(());
    }
    let (container, key) = parent(document, path)?;
    match container {
        Value::Object(entries) => {
            entries.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            // One past the end is a valid place to insert.
            let at = index(&key, items.len() + 1)?;
            (at <= items.len()).then(|| items.insert(at, value))?;
        }
        _ => return None,
    }
    Some(())
}

fn replace(document: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *document = value;
        return Some(());
    }
    let (container, key) = parent(document, path)?;
    match container {
        Value::Object(entries) => {
            entries.insert(key, value);
        }
        Value::Array(items) => {
            let at = index(&key, items.len())?;
            *items.get_mut(at)? = value;
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &str) -> Option<Value> {
    if path.is_empty() {
        return Some(std::mem::replace(document, Value::Object(Map::new())));
    }
    let (container, key) = parent(document, path)?;
    match container {
        Value::Object(entries) => entries.remove(&key),
        Value::Array(items) => {
            let at = index(&key, items.len())?;
            (at < items.len()).then(|| items.remove(at))
        }
        _ => None,
    }
}

/// An array index; negative ones count from the end.
fn index(token: &str, length: usize) -> Option<usize> {
    let number: i64 = token.parse().ok()?;
    if number >= 0 {
        return usize::try_from(number).ok();
    }
    length.checked_sub(usize::try_from(number.unsigned_abs()).ok()?)
}

/// RFC 6901: `~1` is `/`, `~0` is `~`.
fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// The error of a patch whose result cannot be read as an object of its kind: `shown` is the patch or the result.
pub fn unreadable(shown: &str, why: impl std::fmt::Display) -> ApiError {
    use crate::field::{BadValue, Error, Path};
    let shown = BadValue::Raw(quote(shown));
    ApiError::invalid("", "", "", Error::invalid(&Path::new("patch"), shown, why.to_string()))
}
