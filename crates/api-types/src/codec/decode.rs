//! Protobuf → JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Number, Value};

use super::CodecError;
use super::scalar::{ZERO_TIME, format_duration, format_micro_time, format_time};
use super::wire::{FIXED32, FIXED64, LENGTH, Reader, VARINT};
use crate::schema::emit;
use crate::schema::{Field, Kind, Map, Schema, SchemaOr, Struct, WireTarget};

/// Messages in messages; only recursive types come anywhere near, and JSON ends there too.
const MAX_DEPTH: usize = 128;

type Object = JsonMap<String, Value>;
type Result<T> = std::result::Result<T, CodecError>;

/// Decodes a message into the JSON that a Go client would print for it. Unknown field numbers are skipped.
pub fn decode(schema: &Schema, raw: &[u8]) -> Result<Value> {
    message(schema, raw, 0)
}

/// The content of a type that is a message on the wire.
fn message(schema: &Schema, raw: &[u8], depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(CodecError::Malformed("exceeded max depth"));
    }
    match &schema.kind {
        Kind::Struct(layout) => {
            let mut found = Vec::with_capacity(layout.fields.len().min(16));
            fields(layout, raw, &mut found, depth)?;
            let unset = emit::unset(layout, |name| found.iter().any(|(n, _)| *n == name));
            found.extend(unset.into_iter().map(|(field, value)| (&*field.name, value)));
            Ok(Value::Object(found.into_iter().map(|(name, value)| (name.to_string(), value)).collect()))
        }
        Kind::Time | Kind::MicroTime => time(&schema.kind, raw),
        Kind::Duration => {
            let [nanos] = varints(raw)?;
            Ok(Value::String(format_duration(nanos as i64)))
        }
        Kind::Quantity => match only_bytes(raw)? {
            Some(text) => string(text, "quantity"),
            None => Ok(Value::from("0")),
        },
        Kind::IntOrString => int_or_string(raw),
        Kind::RawExtension | Kind::FieldsV1 | Kind::Any => match only_bytes(raw)? {
            Some(json) if !json.is_empty() => Ok(serde_json::from_slice(json)?),
            _ => Ok(Value::Null),
        },
        Kind::SchemaOr(inner, other) => schema_or(inner, *other, raw, depth),
        Kind::List(list) => {
            let (mut items, mut reader) = (Vec::new(), Reader::new(raw));
            while let Some((number, wire_type)) = reader.tag()? {
                match number {
                    1 => items.push(one(&list.item, wire_type, &mut reader, depth)?),
                    _ => reader.skip(wire_type)?,
                }
            }
            Ok(Value::Array(items))
        }
        _ => Err(CodecError::Malformed("a scalar where a message was expected")),
    }
}

/// Fields in the order in which they were read; made into a map when all are known, which is cheaper than insertion.
type Found<'s> = Vec<(&'s str, Value)>;

/// Reads the fields of a struct, leaving out what Go omits when empty.
fn fields<'s>(layout: &'s Struct, raw: &[u8], found: &mut Found<'s>, depth: usize) -> Result<()> {
    let mut reader = Reader::new(raw);
    let mut expected = 0;
    while let Some((number, wire_type)) = reader.tag()? {
        // Fields arrive in ascending number nearly always, so the next one is looked at first.
        while layout.wire.get(expected).is_some_and(|w| w.number < number) {
            expected += 1;
        }
        let position = match layout.wire.get(expected) {
            Some(wire) if wire.number == number => Ok(expected),
            _ => layout.wire.binary_search_by_key(&number, |w| w.number),
        };
        match position.map(|p| &layout.wire[p].target) {
            Ok(WireTarget::Field(index)) => {
                field(&layout.fields[usize::from(*index)], wire_type, &mut reader, found, depth)?;
            }
            Ok(WireTarget::Inline(inner)) => match &inner.kind {
                Kind::Struct(inner) => fields(inner, reader.bytes()?, found, depth)?,
                _ => reader.skip(wire_type)?,
            },
            Err(_) => reader.skip(wire_type)?,
        }
    }
    Ok(())
}

fn field<'s>(
    field: &'s Field,
    wire_type: u8,
    reader: &mut Reader<'_>,
    found: &mut Found<'s>,
    depth: usize,
) -> Result<()> {
    match &field.schema.kind {
        Kind::List(list) if !list.message => {
            if let Value::Array(items) = slot(found, &field.name, || Value::Array(Vec::new())) {
                if wire_type == LENGTH && is_varint(&list.item.kind) {
                    let mut packed = Reader::new(reader.bytes()?);
                    while !packed.is_empty() {
                        items.push(one(&list.item, VARINT, &mut packed, depth)?);
                    }
                } else {
                    items.push(one(&list.item, wire_type, reader, depth)?);
                }
            }
        }
        Kind::Map(map) => {
            let (key, value) = entry(map, reader.bytes()?, depth)?;
            if let Value::Object(entries) = slot(found, &field.name, || Value::Object(Object::new())) {
                entries.insert(key, value);
            }
        }
        _ => {
            let value = one(&field.schema, wire_type, reader, depth)?;
            if found.iter().any(|(name, _)| *name == field.name) {
                // The last of repeated values counts.
                found.retain(|(name, _)| *name != field.name);
            }
            if let Some(value) = emit::keep(field, value) {
                found.push((&field.name, value));
            }
        }
    }
    Ok(())
}

/// The value of a repeated field, whose elements nearly always follow each other.
fn slot<'a, 's>(found: &'a mut Found<'s>, name: &'s str, empty: impl FnOnce() -> Value) -> &'a mut Value {
    let position = match found.iter().rposition(|(n, _)| *n == name) {
        Some(position) => position,
        None => {
            found.push((name, empty()));
            found.len() - 1
        }
    };
    &mut found[position].1
}

fn entry(map: &Map, raw: &[u8], depth: usize) -> Result<(String, Value)> {
    let (mut key, mut value, mut reader) = (String::new(), None, Reader::new(raw));
    while let Some((number, wire_type)) = reader.tag()? {
        match number {
            1 => key = reader.text("a map key")?.to_string(),
            2 => value = Some(one(&map.value, wire_type, &mut reader, depth)?),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok((key, value.unwrap_or_else(|| emit::zero(&map.value))))
}

/// One value of a type.
fn one(schema: &Schema, wire_type: u8, reader: &mut Reader<'_>, depth: usize) -> Result<Value> {
    let value = match (&schema.kind, wire_type) {
        (Kind::String, LENGTH) => string(reader.bytes()?, &schema.type_name)?,
        (Kind::Bytes, LENGTH) => Value::String(STANDARD.encode(reader.bytes()?)),
        (Kind::Bool, VARINT) => Value::Bool(reader.varint()? != 0),
        (Kind::Int32, VARINT) => Value::from(reader.varint()? as i32),
        (Kind::Int64, VARINT) => Value::from(reader.varint()? as i64),
        (Kind::Uint32, VARINT) => Value::from(reader.varint()? as u32),
        (Kind::Uint64, VARINT) => Value::from(reader.varint()?),
        (Kind::Float64, FIXED64) => number(f64::from_le_bytes(reader.fixed64()?)),
        (Kind::Float32, FIXED32) => number(f64::from(f32::from_le_bytes(reader.fixed32()?))),
        (_, LENGTH) => message(schema, reader.bytes()?, depth + 1)?,
        _ => return Err(CodecError::Malformed("wire type does not fit the field")),
    };
    Ok(value)
}

/// Whole numbers print without a fraction, as Go prints them.
fn number(float: f64) -> Value {
    if float.fract() == 0.0 && float.abs() < 1e15 {
        return Value::from(float as i64);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

fn is_varint(kind: &Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64)
}

fn string(raw: &[u8], name: &str) -> Result<Value> {
    match std::str::from_utf8(raw) {
        Ok(text) => Ok(Value::String(text.to_string())),
        Err(_) => Err(CodecError::Utf8(name.to_string())),
    }
}

/// Field 1 of a message that has one length-delimited field.
fn only_bytes(raw: &[u8]) -> Result<Option<&[u8]>> {
    let (mut found, mut reader) = (None, Reader::new(raw));
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, LENGTH) => found = Some(reader.bytes()?),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(found)
}

/// Varint fields 1..=N of a message.
fn varints<const N: usize>(raw: &[u8]) -> Result<[u64; N]> {
    let (mut found, mut reader) = ([0; N], Reader::new(raw));
    while let Some((number, wire_type)) = reader.tag()? {
        match (found.get_mut(number as usize - 1), wire_type) {
            (Some(slot), VARINT) => *slot = reader.varint()?,
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(found)
}

fn time(kind: &Kind, raw: &[u8]) -> Result<Value> {
    let [seconds, nanos] = varints(raw)?;
    if raw.is_empty() || (seconds as i64 == ZERO_TIME && nanos == 0) {
        return Ok(Value::Null);
    }
    Ok(Value::String(match kind {
        Kind::MicroTime => format_micro_time(seconds as i64, nanos as u32),
        _ => format_time(seconds as i64),
    }))
}

fn int_or_string(raw: &[u8]) -> Result<Value> {
    let (mut kind, mut int, mut text, mut reader) = (0, 0, "", Reader::new(raw));
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, VARINT) => kind = reader.varint()?,
            (2, VARINT) => int = reader.varint()? as i32,
            (3, LENGTH) => text = reader.text("intOrString")?,
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(if kind == 0 { Value::from(int) } else { Value::from(text) })
}

fn schema_or(inner: &Schema, other: SchemaOr, raw: &[u8], depth: usize) -> Result<Value> {
    let (mut allows, mut schema, mut list, mut reader) = (false, None, Vec::new(), Reader::new(raw));
    let schema_number = if other == SchemaOr::Bool { 2 } else { 1 };
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (n, LENGTH) if n == schema_number => schema = Some(message(inner, reader.bytes()?, depth + 1)?),
            (1, VARINT) => allows = reader.varint()? != 0,
            (2, LENGTH) if other == SchemaOr::Strings => list.push(string(reader.bytes()?, "property")?),
            (2, LENGTH) => list.push(message(inner, reader.bytes()?, depth + 1)?),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(match (schema, other) {
        (Some(schema), _) if list.is_empty() => schema,
        (_, SchemaOr::Bool) => Value::Bool(allows),
        _ if list.is_empty() => Value::Null,
        _ => Value::Array(list),
    })
}
