//! A reader of JSON text that takes what Go takes.

use std::borrow::Cow;

use serde_json::{Map as JsonMap, Number, Value};

use super::syntax::{SyntaxError, syntax_error};

/// Objects and lists may not nest deeper: what serde_json reads, so that whatever is accepted can be read again.
pub(super) const MAX_DEPTH: usize = 125;

/// Parses JSON without a schema, keeping the last of duplicate keys.
pub fn parse_untyped(raw: &[u8]) -> Result<Value, SyntaxError> {
    let mut text = Text::new(raw);
    let value = text.any(0);
    match value.and_then(|v| text.end().map(|()| v)) {
        Ok(value) => Ok(value),
        Err(Malformed) => Err(syntax_error(raw)),
    }
}

/// Marks text that is not JSON; what exactly is wrong is found by reading it again with Go's scanner.
#[derive(Debug)]
pub(super) struct Malformed;

/// A position in JSON text.
pub(super) struct Text<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    /// The first byte of the next value.
    pub(super) fn peek(&mut self) -> Result<u8, Malformed> {
        while let Some(byte) = self.data.get(self.pos) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.pos += 1,
                other => return Ok(*other),
            }
        }
        Err(Malformed)
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Err(Malformed) => Ok(()),
            Ok(_) => Err(Malformed),
        }
    }

    /// Passes one punctuation byte.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek()? != byte {
            return Err(Malformed);
        }
        self.pos += 1;
        Ok(())
    }

    /// In an object or list: whether another member follows. `first` before the first one.
    pub(super) fn more(&mut self, first: bool, close: u8) -> Result<bool, Malformed> {
        match self.peek()? {
            byte if byte == close => {
                self.pos += 1;
                Ok(false)
            }
            b',' if !first => {
                self.pos += 1;
                if self.peek()? == close { Err(Malformed) } else { Ok(true) }
            }
            _ if first => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// A key and its colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// A string; borrowed when it has no escapes. Invalid UTF-8 and lone surrogates become U+FFFD, as in Go.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(b'"')?;
        let start = self.pos;
        loop {
            match self.data.get(self.pos) {
                None => return Err(Malformed),
                Some(b'"') => {
                    let text = &self.data[start..self.pos];
                    self.pos += 1;
                    return Ok(String::from_utf8_lossy(text));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(byte) if *byte < 0x20 => return Err(Malformed),
                Some(_) => self.pos += 1,
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<String, Malformed> {
        let mut out = self.data[start..self.pos].to_vec();
        loop {
            let byte = *self.data.get(self.pos).ok_or(Malformed)?;
            self.pos += 1;
            match byte {
                b'"' => return Ok(String::from_utf8_lossy(&out).into_owned()),
                b'\\' => {
                    let escape = *self.data.get(self.pos).ok_or(Malformed)?;
                    self.pos += 1;
                    out.push(match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            let mut buffer = [0; 4];
                            out.extend_from_slice(self.unicode()?.encode_utf8(&mut buffer).as_bytes());
                            continue;
                        }
                        _ => return Err(Malformed),
                    });
                }
                byte if byte < 0x20 => return Err(Malformed),
                byte => out.push(byte),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, Malformed> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let after = self.pos;
        if self.data.get(after..after + 2) == Some(b"\\u") {
            self.pos += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.pos = after;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let digits = self.data.get(self.pos..self.pos + 4).ok_or(Malformed)?;
        self.pos += 4;
        digits.iter().try_fold(0, |n, d| (*d as char).to_digit(16).map(|v| n * 16 + v)).ok_or(Malformed)
    }

    fn number(&mut self) -> Result<Value, Malformed> {
        let start = self.pos;
        let digits = |text: &mut Self| {
            let from = text.pos;
            while text.data.get(text.pos).is_some_and(u8::is_ascii_digit) {
                text.pos += 1;
            }
            text.pos - from
        };
        if self.data.get(self.pos) == Some(&b'-') {
            self.pos += 1;
        }
        let whole = self.pos;
        let len = digits(self);
        if len == 0 || (len > 1 && self.data[whole] == b'0') {
            return Err(Malformed);
        }
        let mut integer = true;
        if self.data.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            integer = false;
            if digits(self) == 0 {
                return Err(Malformed);
            }
        }
        if matches!(self.data.get(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            integer = false;
            if matches!(self.data.get(self.pos), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            if digits(self) == 0 {
                return Err(Malformed);
            }
        }
        // Digits, signs, points and letters only: ASCII.
        let text = std::str::from_utf8(&self.data[start..self.pos]).map_err(|_| Malformed)?;
        if integer {
            if let Ok(number) = text.parse::<i64>() {
                return Ok(Value::from(number));
            }
            if let Ok(number) = text.parse::<u64>() {
                return Ok(Value::from(number));
            }
        }
        text.parse().ok().and_then(Number::from_f64).map(Value::Number).ok_or(Malformed)
    }

    fn literal(&mut self, word: &[u8], value: Value) -> Result<Value, Malformed> {
        if !self.data[self.pos..].starts_with(word) {
            return Err(Malformed);
        }
        self.pos += word.len();
        Ok(value)
    }

    /// Any value but an object or list, whose opening byte the caller has seen.
    pub(super) fn scalar(&mut self) -> Result<Value, Malformed> {
        match self.peek()? {
            b'"' => Ok(Value::String(self.string()?.into_owned())),
            b't' => self.literal(b"true", Value::Bool(true)),
            b'f' => self.literal(b"false", Value::Bool(false)),
            b'n' => self.literal(b"null", Value::Null),
            _ => self.number(),
        }
    }

    /// Any value, the last of duplicate keys winning.
    pub(super) fn any(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        match self.peek()? {
            b'{' => {
                self.pos += 1;
                let (mut object, mut first) = (JsonMap::new(), true);
                while self.more(first, b'}')? {
                    first = false;
                    let key = self.key()?.into_owned();
                    object.insert(key, self.any(depth + 1)?);
                }
                Ok(Value::Object(object))
            }
            b'[' => {
                self.pos += 1;
                let (mut items, mut first) = (Vec::new(), true);
                while self.more(first, b']')? {
                    first = false;
                    items.push(self.any(depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            _ => self.scalar(),
        }
    }

    /// Passes over any value; returns its text.
    pub(super) fn skip(&mut self, depth: usize) -> Result<&'a [u8], Malformed> {
        self.peek()?;
        let start = self.pos;
        self.pass(depth)?;
        Ok(&self.data[start..self.pos])
    }

    fn pass(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let close = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            b'"' => return self.string().map(|_| ()),
            _ => return self.scalar().map(|_| ()),
        };
        self.pos += 1;
        let mut first = true;
        while self.more(first, close)? {
            first = false;
            if close == b'}' {
                self.key()?;
            }
            self.pass(depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_as_serde_reads_it() {
        for text in [
            r#"{"a":[1,-2,3.5,1e3,true,false,null,"x"],"b":{"c":{}}}"#,
            r#""\u00e9\ud83d\ude00\n\"\\\/""#,
            "[]",
            " [ 1 , 2 ] ",
            "18446744073709551615",
            "\"é\"",
        ] {
            assert_eq!(
                parse_untyped(text.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
        assert_eq!(parse_untyped(br#""\ud800x""#).unwrap(), Value::from("\u{fffd}x"));
        assert!(parse_untyped("[".repeat(20_000).as_bytes()).is_err());
    }
}
