//! ConfigMaps, Secrets and Namespaces.

use serde_json::Value;

use super::page::{Page, text};
use super::pod::head;

/// A ConfigMap: its data in full.
pub fn config_map(object: &Value) -> Page {
    let mut page = head(object);
    page.line("\nData\n====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        page.line(format!("{key}:\n----\n{}\n", text(value).replace('\t', "    ")));
    }
    page.line("\nBinaryData\n====");
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        page.line(format!("{key}: {} bytes", decoded_length(value)));
    }
    page.line("");
    page
}

/// A Secret: how long its data is, not what it says.
pub fn secret(object: &Value) -> Page {
    let mut page = head(object);
    page.line("");
    page.field("Type", text(&object["type"]));
    page.line("\nData\n====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        page.field(key, format!("{} bytes", decoded_length(value)));
    }
    page
}

/// Four characters of base64 are three bytes.
fn decoded_length(value: &Value) -> usize {
    value.as_str().map_or(0, |data| data.trim_end_matches('=').len() * 3 / 4)
}

/// A Namespace.
pub fn namespace(object: &Value) -> Page {
    let mut page = head(object);
    page.field("Status", text(&object["status"]["phase"]));
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_stay_secret() {
        let object =
            json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"password": "aHVudGVyMg=="}});
        let shown = secret(&object).finish();
        assert!(shown.contains("password:  7 bytes"), "{shown}");
        assert!(!shown.contains("aHVudGVyMg"), "{shown}");
    }
}
