//! JSON text in the order in which Go's encoder writes a typed object: struct fields as they are declared, map keys sorted.
//!
//! Clients compare no such texts, but some messages quote whole documents, and people read `Status` objects as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::schema::{Kind, Schema, Struct};

/// The objects of a document that an untyped step (a patch) took apart: they are written with sorted keys again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened(BTreeMap<String, Opened>);

impl Opened {
    /// The child under a key or index, opened too.
    pub fn open(&mut self, key: &str) -> &mut Opened {
        self.0.entry(key.to_owned()).or_default()
    }

    fn below(&self, key: &str) -> Option<&Opened> {
        self.0.get(key)
    }
}

/// The text of a typed object.
pub fn to_string(schema: &Schema, value: &Value) -> String {
    let mut out = String::new();
    write(Some(schema), value, None, &mut out);
    out
}

/// The text of a typed object some of whose parts were opened; the document itself counts as opened.
pub fn to_string_opened(schema: &Schema, value: &Value, opened: &Opened) -> String {
    let mut out = String::new();
    write(Some(schema), value, Some(opened), &mut out);
    out
}

fn write(schema: Option<&Schema>, value: &Value, opened: Option<&Opened>, out: &mut String) {
    match value {
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            let item = schema.and_then(Schema::item).map(|item| &**item);
            out.push('[');
            for (index, value) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                let below = opened.and_then(|o| o.below(&index.to_string()));
                write(item, value, below, out);
            }
            out.push(']');
        }
        Value::Object(entries) => object(schema, entries, opened, out),
        other => {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "{other}");
        }
    }
}

fn object(schema: Option<&Schema>, entries: &Map<String, Value>, opened: Option<&Opened>, out: &mut String) {
    out.push('{');
    let mut first = true;
    let mut member = |key: &str, value: &Value| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        string(key, out);
        out.push(':');
        let child = schema.and_then(|schema| schema.child(key)).map(|child| &**child);
        write(child, value, opened.and_then(|o| o.below(key)), out);
    };
    match schema.map(|schema| &schema.kind) {
        Some(Kind::Struct(layout)) if opened.is_none() => declared(layout, entries, &mut member),
        _ => entries.iter().for_each(|(key, value)| member(key, value)),
    }
    out.push('}');
}

fn declared(layout: &Struct, entries: &Map<String, Value>, member: &mut dyn FnMut(&str, &Value)) {
    for field in &layout.fields {
        if let Some(value) = entries.get(&*field.name) {
            member(&field.name, value);
        }
    }
    for (key, value) in entries.iter().filter(|(key, _)| layout.field(key).is_none()) {
        member(key, value);
    }
}

/// A JSON string; `<`, `>` and `&` are escaped, as Go does for texts that may end up in HTML.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        let _infallible = match c {
            '"' => write!(out, "\\\""),
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\u{8}' => write!(out, "\\b"),
            '\u{c}' => write!(out, "\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => write!(out, "\\u{:04x}", c as u32),
            c if (c as u32) < 0x20 => write!(out, "\\u{:04x}", c as u32),
            c => out.write_char(c),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::by_gvk;

    #[test]
    fn fields_come_as_declared_and_opened_objects_sorted() {
        let schema = by_gvk("", "v1", "ConfigMap").unwrap();
        let object = json!({
            "kind": "ConfigMap", "apiVersion": "v1", "data": {"b": "<", "a": "x"},
            "metadata": {"labels": {"z": "1"}, "name": "n", "uid": "u"},
        });
        assert_eq!(
            to_string(&schema, &object),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","uid":"u","labels":{"z":"1"}},"data":{"a":"x","b":"\u003c"}}"#
        );
        let mut opened = Opened::default();
        assert_eq!(
            to_string_opened(&schema, &object, &opened),
            r#"{"apiVersion":"v1","data":{"a":"x","b":"\u003c"},"kind":"ConfigMap","metadata":{"name":"n","uid":"u","labels":{"z":"1"}}}"#
        );
        opened.open("metadata");
        assert!(
            to_string_opened(&schema, &object, &opened)
                .ends_with(r#""metadata":{"labels":{"z":"1"},"name":"n","uid":"u"}}"#)
        );
    }
}
