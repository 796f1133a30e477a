use serde_json::{Map, Value};

/// Applies a JSON Merge Patch (RFC 7386): objects are merged, null removes, all else replaces.
pub fn merge_patch(document: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *document = patch.clone();
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(entries) = document else { return };
    for (key, change) in changes {
        if change.is_null() {
            entries.remove(key);
        } else {
            merge_patch(entries.entry(key.as_str()).or_insert(Value::Null), change);
        }
    }
}
