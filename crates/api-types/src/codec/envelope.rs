//! The envelope of protobuf bodies and stored values: `k8s\0` and a `runtime.Unknown`.

use std::borrow::Cow;

use serde_json::Value;

use super::CodecError;
use super::wire::{Reader, put_bytes, put_len_field, put_varint_field, varint_len};
use crate::schema::{self, Schema};

/// First bytes of every protobuf body.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// A `runtime.Unknown`: what an enveloped object says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apiVersion` of the object.
    pub api_version: Cow<'a, str>,
    /// `kind` of the object.
    pub kind: Cow<'a, str>,
    /// The message (or JSON text, when the content type says so).
    pub raw: &'a [u8],
    /// Encoding of `raw`; empty in practice.
    pub content_encoding: Cow<'a, str>,
    /// Content type of `raw`; empty means protobuf.
    pub content_type: Cow<'a, str>,
}

/// Whether bytes begin with the envelope's magic number.
pub fn is_protobuf(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

/// Opens an envelope without copying.
pub fn unwrap(data: &[u8]) -> Result<Envelope<'_>, CodecError> {
    let body = data.strip_prefix(&MAGIC[..]).ok_or(CodecError::NotEnvelope)?;
    let mut envelope = Envelope {
        api_version: Cow::Borrowed(""),
        kind: Cow::Borrowed(""),
        raw: &[],
        content_encoding: Cow::Borrowed(""),
        content_type: Cow::Borrowed(""),
    };
    let mut reader = Reader::new(body);
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, 2) => {
                let mut meta = Reader::new(reader.bytes()?);
                while let Some((number, wire_type)) = meta.tag()? {
                    match (number, wire_type) {
                        (1, 2) => envelope.api_version = Cow::Borrowed(meta.text("apiVersion")?),
                        (2, 2) => envelope.kind = Cow::Borrowed(meta.text("kind")?),
                        _ => meta.skip(wire_type)?,
                    }
                }
            }
            (2, 2) => envelope.raw = reader.bytes()?,
            (3, 2) => envelope.content_encoding = Cow::Borrowed(reader.text("contentEncoding")?),
            (4, 2) => envelope.content_type = Cow::Borrowed(reader.text("contentType")?),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(envelope)
}

/// Puts a message into an envelope.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    seal(api_version, kind, raw, "")
}

/// Puts JSON text into an envelope: objects of types without a protobuf form (custom resources in a protobuf watch).
pub fn wrap_json(api_version: &str, kind: &str, json: &[u8]) -> Vec<u8> {
    seal(api_version, kind, json, "application/json")
}

fn seal(api_version: &str, kind: &str, raw: &[u8], content_type: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + api_version.len() + kind.len() + content_type.len() + 32);
    out.extend_from_slice(&MAGIC);
    let meta_len = 2
        + varint_len(api_version.len() as u64)
        + varint_len(kind.len() as u64)
        + api_version.len()
        + kind.len();
    put_len_field(&mut out, 1, meta_len);
    put_bytes(&mut out, 1, api_version.as_bytes());
    put_bytes(&mut out, 2, kind.as_bytes());
    put_bytes(&mut out, 2, raw);
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, content_type.as_bytes());
    out
}

/// Encodes an object with `apiVersion` and `kind` into an envelope.
pub fn encode_object(schema: &Schema, value: &Value) -> Result<Vec<u8>, CodecError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let raw = super::encode(schema, value)?;
    Ok(wrap(text("apiVersion"), text("kind"), &raw))
}

/// Opens an envelope and decodes its object by the `apiVersion` and `kind` that it names, which the result carries.
pub fn decode_object(data: &[u8]) -> Result<Value, CodecError> {
    let envelope = unwrap(data)?;
    let mut value = if envelope.content_type == "application/json" {
        serde_json::from_slice(envelope.raw)?
    } else {
        let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", &envelope.api_version));
        let node = schema::by_gvk(group, version, &envelope.kind).ok_or_else(|| CodecError::UnknownKind {
            api_version: envelope.api_version.to_string(),
            kind: envelope.kind.to_string(),
        })?;
        super::decode(&node, envelope.raw)?
    };
    if let Value::Object(object) = &mut value {
        object.insert("apiVersion".into(), Value::String(envelope.api_version.into_owned()));
        object.insert("kind".into(), Value::String(envelope.kind.into_owned()));
    }
    Ok(value)
}

/// The message (no envelope) of a list whose items are messages already (no envelope either). Every built-in list has
/// `metadata` as field 1 and `items` as field 2.
pub fn encode_list<'a>(
    items: impl Iterator<Item = &'a [u8]> + Clone,
    resource_version: &str,
    continue_token: &str,
    remaining: Option<i64>,
) -> Vec<u8> {
    let mut meta = Vec::with_capacity(32 + continue_token.len());
    put_bytes(&mut meta, 1, b"");
    put_bytes(&mut meta, 2, resource_version.as_bytes());
    put_bytes(&mut meta, 3, continue_token.as_bytes());
    if let Some(count) = remaining {
        put_varint_field(&mut meta, 4, count as u64);
    }
    let total: usize = items.clone().map(|i| i.len() + 6).sum();
    let mut out = Vec::with_capacity(total + meta.len() + 8);
    put_bytes(&mut out, 1, &meta);
    for item in items {
        put_bytes(&mut out, 2, item);
    }
    out
}

/// A `meta/v1.WatchEvent` message around an object that is in its envelope already.
pub fn encode_watch_event(event_type: &str, enveloped: &[u8]) -> Vec<u8> {
    let object_len = 1 + varint_len(enveloped.len() as u64) + enveloped.len();
    let mut out = Vec::with_capacity(object_len + event_type.len() + 16);
    put_bytes(&mut out, 1, event_type.as_bytes());
    put_len_field(&mut out, 2, object_len);
    put_bytes(&mut out, 1, enveloped);
    out
}
