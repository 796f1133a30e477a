//! What plug-ins have in common: refusals, and reading fields of JSON objects.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::admission::{Reader, Request};
use crate::error::{self, Error, Result};

/// A refusal of the request, worded about the object by the name it has so far.
pub(super) fn refuse(request: &Request<'_>, why: impl std::fmt::Display) -> Error {
    error::forbidden(request.resource, known_name(request), why)
}

/// The object's name; before one is generated, the prefix that it will have.
pub(super) fn known_name<'r>(request: &'r Request<'_>) -> &'r str {
    if !request.name.is_empty() {
        return request.name;
    }
    let metadata = request.object.as_ref().and_then(|o| o.get("metadata"));
    let text =
        |key: &str| metadata.and_then(|m| m.get(key)).and_then(Value::as_str).filter(|s| !s.is_empty());
    text("name").or_else(|| text("generateName")).unwrap_or("Unknown")
}

/// A string by JSON pointer; "" when it is not there.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list by JSON pointer; empty when it is not there.
pub(super) fn list<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A label or annotation.
pub(super) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// The map `key` inside `object`, both made when they are absent. `None` when one of them is something else.
pub(super) fn map_at<'v>(object: &'v mut Value, key: &str) -> Option<&'v mut Map<String, Value>> {
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    let slot = object.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// The list `key` inside `object`, made when it is absent.
pub(super) fn list_at<'v>(object: &'v mut Value, key: &str) -> Option<&'v mut Vec<Value>> {
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    let slot = object.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut()
}

/// The containers of a pod's spec with the list that each is in: regular first, then init, then ephemeral
/// ones.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(move |field| {
        spec.get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(move |container| (field, container))
    })
}

/// One object, read into a type; `None` when it does not exist.
pub(super) async fn fetch<T: DeserializeOwned>(
    reader: &dyn Reader,
    (group, resource): (&str, &str),
    namespace: &str,
    name: &str,
) -> Result<Option<T>> {
    // The cache is asked first: what is there is there. What is not may be too new for it.
    let cached = reader.get(group, resource, namespace, name, false).await?;
    let found = match cached {
        Some(bytes) => Some(bytes),
        None => reader.get(group, resource, namespace, name, true).await?,
    };
    found.map(|bytes| decode(&bytes)).transpose()
}

/// All objects of a resource in a namespace, read into a type.
pub(super) async fn fetch_all<T: DeserializeOwned>(
    reader: &dyn Reader,
    (group, resource): (&str, &str),
    namespace: &str,
) -> Result<Vec<T>> {
    let all = reader.list(group, resource, namespace).await?;
    all.iter().map(|bytes| decode(bytes)).collect()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::internal(format!("a stored object cannot be read: {e}")))
}
