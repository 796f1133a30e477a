//! JSON → protobuf.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value};

use super::CodecError;
use super::scalar::{parse_duration, parse_time};
use super::wire::{FIXED32, FIXED64, put_bytes, put_message, put_tag, put_varint_field};
use crate::schema::{Kind, Schema, SchemaOr, Struct, WireTarget};

type Object = JsonMap<String, Value>;
type Result<T = ()> = std::result::Result<T, CodecError>;

/// Encodes an object as the protobuf message of its type, without envelope.
pub fn encode(schema: &Schema, value: &Value) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    encode_into(schema, value, &mut out)?;
    Ok(out)
}

/// As [`encode`], appending to a buffer.
pub fn encode_into(schema: &Schema, value: &Value, out: &mut Vec<u8>) -> Result {
    message(schema, Some(value), out)
}

fn shape<T>(expected: &'static str) -> Result<T> {
    Err(CodecError::Shape { path: String::new(), expected })
}

/// Puts a field name in front of the path of an error on its way up.
fn within<T>(name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        CodecError::Shape { path, expected } if path.is_empty() => {
            CodecError::Shape { path: name.to_string(), expected }
        }
        CodecError::Shape { path, expected } => {
            CodecError::Shape { path: format!("{name}.{path}"), expected }
        }
        other => other,
    })
}

/// Writes the fields of a struct. A missing object is Go's zero value of the struct.
fn fields(layout: &Struct, object: Option<&Object>, out: &mut Vec<u8>) -> Result {
    for wire in &layout.wire {
        match &wire.target {
            WireTarget::Field(index) => {
                let field = &layout.fields[usize::from(*index)];
                let value = object.and_then(|o| o.get(&*field.name)).filter(|v| !v.is_null());
                if value.is_none() && field.pointer {
                    continue;
                }
                let written = one(&field.schema, wire.number, value, out);
                if written.is_err() {
                    return within(&field.name, written);
                }
            }
            WireTarget::Inline(inner) => {
                if let Kind::Struct(inner) = &inner.kind {
                    put_message(out, wire.number, |out| fields(inner, object, out))?;
                }
            }
        }
    }
    Ok(())
}

/// Writes one field; `None` is the zero value of a field that is not a pointer.
fn one(schema: &Schema, number: u32, value: Option<&Value>, out: &mut Vec<u8>) -> Result {
    match &schema.kind {
        Kind::String => match value {
            None => put_bytes(out, number, b""),
            Some(Value::String(text)) => put_bytes(out, number, text.as_bytes()),
            Some(_) => return shape("a string"),
        },
        Kind::Bool => match value {
            None => put_varint_field(out, number, 0),
            Some(Value::Bool(flag)) => put_varint_field(out, number, u64::from(*flag)),
            Some(_) => return shape("a boolean"),
        },
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
            put_varint_field(out, number, integer(value)?)
        }
        Kind::Float64 => {
            put_tag(out, number, FIXED64);
            out.extend_from_slice(&float(value)?.to_le_bytes());
        }
        Kind::Float32 => {
            put_tag(out, number, FIXED32);
            out.extend_from_slice(&(float(value)? as f32).to_le_bytes());
        }
        Kind::Bytes => {
            if let Some(value) = value {
                put_bytes(out, number, &bytes(value)?);
            }
        }
        Kind::List(list) if !list.message => {
            let items = match value {
                None => return Ok(()),
                Some(Value::Array(items)) => items,
                Some(_) => return shape("a list"),
            };
            for item in items {
                one(&list.item, number, Some(item).filter(|v| !v.is_null()), out)?;
            }
        }
        Kind::Map(map) => {
            let entries = match value {
                None => return Ok(()),
                Some(Value::Object(entries)) => entries,
                Some(_) => return shape("an object"),
            };
            // The JSON map is sorted by key, which is the order on the wire.
            for (key, value) in entries {
                put_message(out, number, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    within(key, one(&map.value, 2, Some(value).filter(|v| !v.is_null()), out))
                })?;
            }
        }
        _ => put_message(out, number, |out| message(schema, value, out))?,
    }
    Ok(())
}

/// Writes the content of a type that is a message on the wire.
fn message(schema: &Schema, value: Option<&Value>, out: &mut Vec<u8>) -> Result {
    match &schema.kind {
        Kind::Struct(layout) => match value {
            None | Some(Value::Null) => fields(layout, None, out),
            Some(Value::Object(object)) => fields(layout, Some(object), out),
            Some(_) => shape("an object"),
        },
        Kind::Time | Kind::MicroTime => time(&schema.kind, value, out),
        Kind::Duration => {
            let nanos = match value {
                None => 0,
                Some(Value::String(text)) => match parse_duration(text) {
                    Some(nanos) => nanos,
                    None => return shape("a duration"),
                },
                Some(_) => return shape("a duration"),
            };
            put_varint_field(out, 1, nanos as u64);
            Ok(())
        }
        Kind::Quantity => {
            match value {
                None => put_bytes(out, 1, b"0"),
                Some(Value::String(text)) => put_bytes(out, 1, text.as_bytes()),
                Some(Value::Number(number)) => put_bytes(out, 1, number.to_string().as_bytes()),
                Some(_) => return shape("a quantity"),
            }
            Ok(())
        }
        Kind::IntOrString => {
            let (kind, int, text) = match value {
                None => (0, 0, ""),
                Some(Value::String(text)) => (1, 0, text.as_str()),
                some => (0, integer(some)?, ""),
            };
            put_varint_field(out, 1, kind);
            put_varint_field(out, 2, int);
            put_bytes(out, 3, text.as_bytes());
            Ok(())
        }
        Kind::RawExtension | Kind::FieldsV1 | Kind::Any => {
            if let Some(value) = value {
                put_bytes(out, 1, &serde_json::to_vec(value)?);
            }
            Ok(())
        }
        Kind::SchemaOr(inner, other) => schema_or(inner, *other, value, out),
        // A list that is a message of its own.
        Kind::List(list) => {
            for item in value.and_then(Value::as_array).into_iter().flatten() {
                one(&list.item, 1, Some(item), out)?;
            }
            Ok(())
        }
        _ => one(schema, 1, value, out),
    }
}

fn schema_or(inner: &Schema, other: SchemaOr, value: Option<&Value>, out: &mut Vec<u8>) -> Result {
    let object = value.filter(|v| v.is_object());
    match other {
        SchemaOr::Bool => {
            let allows = object.is_some() || value == Some(&Value::Bool(true));
            put_varint_field(out, 1, u64::from(allows));
            object.map_or(Ok(()), |o| one(inner, 2, Some(o), out))
        }
        SchemaOr::Schemas | SchemaOr::Strings => {
            if let Some(object) = object {
                return one(inner, 1, Some(object), out);
            }
            for item in value.and_then(Value::as_array).into_iter().flatten() {
                match (other, item) {
                    (SchemaOr::Strings, Value::String(text)) => put_bytes(out, 2, text.as_bytes()),
                    (SchemaOr::Strings, _) => return shape("a string"),
                    _ => one(inner, 2, Some(item), out)?,
                }
            }
            Ok(())
        }
    }
}

/// An absent or `null` time is Go's zero time: an empty message.
fn time(kind: &Kind, value: Option<&Value>, out: &mut Vec<u8>) -> Result {
    let text = match value {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(text)) => text,
        Some(_) => return shape("a time"),
    };
    let Some((seconds, nanos)) = parse_time(text) else {
        return shape("an RFC 3339 time");
    };
    let nanos = if matches!(kind, Kind::MicroTime) { nanos / 1000 * 1000 } else { 0 };
    put_varint_field(out, 1, seconds as u64);
    put_varint_field(out, 2, u64::from(nanos));
    Ok(())
}

/// A number as the bits of a varint: negative numbers are sign-extended to 64 bits.
fn integer(value: Option<&Value>) -> Result<u64> {
    match value {
        None => Ok(0),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(signed), _, _) => Ok(signed as u64),
            (_, Some(unsigned), _) => Ok(unsigned),
            (_, _, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => Ok(float as i64 as u64),
            _ => shape("an integer"),
        },
        Some(_) => shape("an integer"),
    }
}

fn float(value: Option<&Value>) -> Result<f64> {
    match value {
        None => Ok(0.0),
        Some(value) => value.as_f64().map_or_else(|| shape("a number"), Ok),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::String(text) => STANDARD.decode(text).or_else(|_| shape("base64 text")),
        _ => shape("base64 text"),
    }
}
