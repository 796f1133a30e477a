//! `metadata` of an object that is being changed: reading and writing its fields in a `Value`.

use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Map, Value};

/// Finalizer of objects whose dependents must stay.
pub const ORPHAN: &str = "orphan";
/// Finalizer of objects whose dependents must go first.
pub const FOREGROUND: &str = "foregroundDeletion";

/// Characters of generated suffixes: no vowels, and nothing that looks like another character.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
const NAME_MAX: usize = 63;

/// A text field of `metadata`, "" when absent.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// A field of `metadata`.
pub fn field<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(key)
}

/// The `metadata` map, made when absent.
pub fn map(object: &mut Value) -> &mut Map<String, Value> {
    if !object.get("metadata").is_some_and(Value::is_object) {
        if !object.is_object() {
            *object = Value::Object(Map::new());
        }
        object["metadata"] = Value::Object(Map::new());
    }
    match &mut object["metadata"] {
        Value::Object(map) => map,
        _ => unreachable!("metadata was made an object just above"),
    }
}

/// Sets or, with `None`, removes a field of `metadata`.
pub fn set(object: &mut Value, key: &str, value: Option<Value>) {
    match value {
        Some(value) => map(object).insert(key.to_owned(), value),
        None => map(object).remove(key),
    };
}

/// Makes a field of `metadata` what it is in `old`.
pub fn keep(object: &mut Value, old: &Value, key: &str) {
    set(object, key, field(old, key).cloned());
}

/// The finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    field(object, "finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Adds a finalizer that is not there yet.
pub fn add_finalizer(object: &mut Value, finalizer: &str) {
    let mut all: Vec<String> = finalizers(object).into_iter().map(str::to_owned).collect();
    if !all.iter().any(|known| known == finalizer) {
        all.push(finalizer.to_owned());
        set(object, "finalizers", Some(all.into()));
    }
}

/// Whether finalizers hold the object back from removal.
pub fn has_finalizers(object: &Value) -> bool {
    field(object, "finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    field(object, "deletionTimestamp").is_some()
}

/// `metadata.generation`, 0 when absent.
pub fn generation(object: &Value) -> i64 {
    field(object, "generation").and_then(Value::as_i64).unwrap_or(0)
}

/// Raises `metadata.generation` by one where the resource has one.
pub fn bump_generation(object: &mut Value) {
    let generation = generation(object);
    if generation > 0 {
        set(object, "generation", Some((generation + 1).into()));
    }
}

/// A time as API objects carry it, to the second.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, as API objects carry it.
pub fn now() -> String {
    time(Timestamp::now())
}

/// A name from a `generateName` and a random suffix.
pub fn generate_name(prefix: &str) -> String {
    let mut name = String::with_capacity(NAME_MAX);
    let room = NAME_MAX - SUFFIX_LENGTH;
    name.push_str(prefix.get(..room).unwrap_or(prefix));
    let mut rng = rand::rng();
    for _ in 0..SUFFIX_LENGTH {
        name.push(char::from(SUFFIX_ALPHABET[rng.random_range(0..SUFFIX_ALPHABET.len())]));
    }
    name
}
