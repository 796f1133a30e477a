//! What mutations do to an object.

use api_types::apply;
use api_types::patch::json_patch;
use api_types::schema::{Kind, Schema, Topology};
use expression::Value as Cel;
use serde_json::Value;

/// The object with an apply configuration merged in; nobody comes to own what it sets.
pub fn merged(schema: &Schema, object: &Value, configuration: &Cel<'_>) -> Result<Value, String> {
    let configuration =
        configuration.to_json().ok_or("error applying patch: the configuration is no object")?;
    let mut atomic = Vec::new();
    atomic_fields(schema, &configuration, "", &mut atomic);
    if !atomic.is_empty() {
        return Err(format!(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    apply::check(schema, &configuration).map_err(|why| {
        format!("error applying patch: failed to convert patch object to typed object: {why}")
    })?;
    Ok(apply::merge(schema, object, &configuration))
}

/// Paths of what the configuration sets in lists, maps and structs that are replaced whole.
fn atomic_fields(schema: &Schema, value: &Value, path: &str, found: &mut Vec<String>) {
    match (&schema.kind, value) {
        (Kind::Struct(s), Value::Object(map)) => {
            for (name, value) in map {
                let Some(field) = s.field(name) else { continue };
                let path = format!("{path}.{name}");
                let composite = matches!(field.schema.kind, Kind::List(_) | Kind::Map(_) | Kind::Struct(_));
                let list = matches!(field.schema.kind, Kind::List(_));
                match field.topology() {
                    Topology::Atomic if composite => found.push(path),
                    Topology::Unset if list => found.push(path),
                    _ => atomic_fields(&field.schema, value, &path, found),
                }
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            for item in items {
                atomic_fields(&list.item, item, path, found);
            }
        }
        (Kind::Map(map), Value::Object(entries)) => {
            for (key, value) in entries {
                atomic_fields(&map.value, value, &format!("{path}.{key}"), found);
            }
        }
        _ => {}
    }
}

/// The object after the operations of a JSON Patch.
pub fn patched(object: &Value, operations: &Cel<'_>) -> Result<Value, String> {
    let Some(Value::Array(operations)) = operations.to_json() else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut changed = object.clone();
    for operation in operations {
        let before = changed.clone();
        if json_patch(&mut changed, &Value::Array(vec![operation.clone()])).is_err() {
            return Err(format!("JSON Patch: {}", fault(&before, &operation)));
        }
    }
    Ok(changed)
}

/// Why an operation cannot be done, as upstream's users know it.
fn fault(object: &Value, operation: &Value) -> String {
    let text = |key: &str| operation[key].as_str().unwrap_or_default();
    let (name, path) = (text("op"), text("path"));
    let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
    let key = last.replace("~1", "/").replace("~0", "~");
    let parent = object.pointer(above);
    match (name, parent) {
        ("remove", Some(Value::Object(_))) => {
            format!(
                "error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value"
            )
        }
        ("remove", Some(Value::Array(_))) => {
            format!(
                "error in remove for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
            )
        }
        ("replace", Some(Value::Object(_) | Value::Array(_))) => {
            format!("replace operation does not apply: doc is missing key: {path}: missing value")
        }
        ("test", Some(_)) => format!("testing value {path} failed: test failed"),
        ("move" | "copy", _) => {
            format!(
                "{name} operation does not apply: doc is missing from path: {}: missing value",
                text("from")
            )
        }
        ("add" | "remove" | "replace" | "test", _) => {
            format!("{name} operation does not apply: doc is missing path: {path:?}: missing value")
        }
        (other, _) => format!("Unexpected kind: {other}"),
    }
}
