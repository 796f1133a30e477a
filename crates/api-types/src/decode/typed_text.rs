//! JSON text in the order of Go's structs.

use serde_json::Value;

use crate::schema::{Kind, Schema};

/// JSON text of a value as Go prints its type: struct fields in declaration order, `<`, `>` and `&` escaped. For annotations
/// and messages that quote an object; answers need no order.
pub fn typed_text(schema: &Schema, value: &Value) -> String {
    let mut out = String::new();
    write(schema, value, &mut out);
    out
}

fn write(schema: &Schema, value: &Value, out: &mut String) {
    match (&schema.kind, value) {
        (Kind::Struct(layout), Value::Object(object)) => {
            let known =
                layout.fields.iter().filter_map(|f| Some((&*f.name, &*f.schema, object.get(&*f.name)?)));
            let any = Schema::default();
            let others: Vec<_> = object.iter().filter(|(name, _)| layout.field(name).is_none()).collect();
            let others = others.iter().map(|(name, value)| (name.as_str(), &any, *value));
            members(known.chain(others), out);
        }
        (Kind::Map(map), Value::Object(object)) => {
            members(object.iter().map(|(name, value)| (name.as_str(), &*map.value, value)), out);
        }
        (Kind::List(list), Value::Array(items)) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(&list.item, item, out);
            }
            out.push(']');
        }
        (Kind::SchemaOr(inner, _), Value::Object(_)) => write(inner, value, out),
        _ => scalar(value, out),
    }
}

fn members<'a>(members: impl Iterator<Item = (&'a str, &'a Schema, &'a Value)>, out: &mut String) {
    out.push('{');
    for (index, (name, schema, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        scalar(&Value::String(name.to_string()), out);
        out.push(':');
        write(schema, value, out);
    }
    out.push('}');
}

fn scalar(value: &Value, out: &mut String) {
    for letter in value.to_string().chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
}
