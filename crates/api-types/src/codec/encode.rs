//! JSON → protobuf.
use serde_json::Value;

use super::CodecError;
use crate::schema::Schema;

/// Encodes an object as the protobuf message of its type, without envelope.
pub fn encode(schema: &Schema, value: &Value) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(1024);
    encode_into(schema, value, &mut out)?;
    Ok(out)
}

/// As [`encode`], appending to a buffer.
pub fn encode_into(_schema: &Schema, _value: &Value, _out: &mut Vec<u8>) -> Result<(), CodecError> {
    Err(CodecError::Malformed("being written"))
}
