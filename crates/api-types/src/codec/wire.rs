//! Protobuf's wire format: varints, tags, length-delimited values. <https://protobuf.dev/programming-guides/encoding/>

use super::CodecError;

/// Wire type of varints.
pub(super) const VARINT: u8 = 0;
/// Wire type of 64-bit values.
pub(super) const FIXED64: u8 = 1;
/// Wire type of length-delimited values.
pub(super) const LENGTH: u8 = 2;
/// Wire type that begins a group.
const START_GROUP: u8 = 3;
/// Wire type that ends a group.
const END_GROUP: u8 = 4;
/// Wire type of 32-bit values.
pub(super) const FIXED32: u8 = 5;

/// Bytes that a varint takes.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field's tag.
pub(super) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Appends a varint field.
pub(super) fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, VARINT);
    put_varint(out, value);
}

/// Appends tag and length of a length-delimited field whose content follows.
pub(super) fn put_len_field(out: &mut Vec<u8>, number: u32, len: usize) {
    put_tag(out, number, LENGTH);
    put_varint(out, len as u64);
}

/// Appends a length-delimited field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_len_field(out, number, value.len());
    out.extend_from_slice(value);
}

/// Appends a length-delimited field whose content a function writes. The length goes before the content once it is known;
/// most messages are under 128 bytes, so the one byte kept free for it usually suffices and nothing moves.
pub(super) fn put_message<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(out, number, LENGTH);
    let at = out.len();
    out.push(0);
    write(out)?;
    let mut len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return Ok(());
    }
    let mut prefix = [0u8; 10];
    let mut used = 0;
    while len >= 0x80 {
        prefix[used] = len as u8 | 0x80;
        len >>= 7;
        used += 1;
    }
    prefix[used] = len as u8;
    out.splice(at..at + 1, prefix[..=used].iter().copied());
    Ok(())
}

/// Reads a message field by field.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and wire type; `None` at the end.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, u8)>, CodecError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number =
            u32::try_from(key >> 3).map_err(|_| CodecError::Malformed("field number out of range"))?;
        if number == 0 {
            return Err(CodecError::Malformed("field number 0"));
        }
        Ok(Some((number, (key & 7) as u8)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            CodecError::Truncated("a number")
        } else {
            CodecError::Malformed("number longer than ten bytes")
        })
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len =
            usize::try_from(self.varint()?).map_err(|_| CodecError::Malformed("length out of range"))?;
        self.take(len)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Utf8(name.to_string()))
    }

    pub(super) fn fixed64(&mut self) -> Result<[u8; 8], CodecError> {
        self.take(8)?.try_into().map_err(|_| CodecError::Truncated("a 64-bit value"))
    }

    pub(super) fn fixed32(&mut self) -> Result<[u8; 4], CodecError> {
        self.take(4)?.try_into().map_err(|_| CodecError::Truncated("a 32-bit value"))
    }

    /// Passes over a field that nobody knows; groups (wire types 3 and 4) with everything inside.
    pub(super) fn skip(&mut self, wire_type: u8) -> Result<(), CodecError> {
        let mut depth = 0usize;
        let mut wire_type = wire_type;
        loop {
            match wire_type {
                START_GROUP => depth += 1,
                END_GROUP => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or(CodecError::Malformed("end of a group that never began"))?
                }
                other => self.skip_plain(other)?,
            }
            if depth == 0 {
                return Ok(());
            }
            wire_type = self.tag()?.ok_or(CodecError::Truncated("a group"))?.1;
        }
    }

    fn skip_plain(&mut self, wire_type: u8) -> Result<(), CodecError> {
        match wire_type {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.take(8).map(|_| ()),
            LENGTH => self.bytes().map(|_| ()),
            FIXED32 => self.take(4).map(|_| ()),
            _ => Err(CodecError::Malformed("unknown wire type")),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        if len > self.rest.len() {
            return Err(CodecError::Truncated("a length-delimited value"));
        }
        let (head, tail) = self.rest.split_at(len);
        self.rest = tail;
        Ok(head)
    }
}
