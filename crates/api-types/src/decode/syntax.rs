//! Go's wording for text that is not JSON: a scanner that stands where Go's stands.

/// Text that is not JSON, in the words of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub String);

/// What Go's scanner says about text that our reader refused.
pub(super) fn syntax_error(raw: &[u8]) -> SyntaxError {
    SyntaxError(scan(raw).unwrap_or_else(|| "exceeded max depth".to_string()))
}

/// Where Go's scanner stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After `{`: a key or `}`.
    FirstKey,
    Key,
    Colon,
    /// After a value inside an object or list, or at the top.
    After,
}

/// Reads the text as Go's scanner does; the message of the first error.
fn scan(raw: &[u8]) -> Option<String> {
    let (mut state, mut open, mut pos) = (State::Value, Vec::new(), 0);
    let wrong = |byte: u8, context: &str| Some(format!("invalid character {} {context}", quote(byte)));
    while let Some(&byte) = raw.get(pos) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            pos += 1;
            continue;
        }
        match (state, byte) {
            (State::FirstItem, b']') | (State::FirstKey, b'}') => {
                open.pop();
                state = State::After;
                pos += 1;
            }
            (State::Value | State::FirstItem, b'{') => {
                open.push(b'}');
                state = State::FirstKey;
                pos += 1;
            }
            (State::Value | State::FirstItem, b'[') => {
                open.push(b']');
                state = State::FirstItem;
                pos += 1;
            }
            (State::Value | State::FirstItem, _) => match scan_scalar(raw, pos) {
                Ok(next) => (pos, state) = (next, State::After),
                Err(message) => return Some(message),
            },
            (State::FirstKey | State::Key, b'"') => match scan_scalar(raw, pos) {
                Ok(next) => (pos, state) = (next, State::Colon),
                Err(message) => return Some(message),
            },
            (State::FirstKey | State::Key, _) => {
                return wrong(byte, "looking for beginning of object key string");
            }
            (State::Colon, b':') => (pos, state) = (pos + 1, State::Value),
            (State::Colon, _) => return wrong(byte, "after object key"),
            (State::After, _) => match (open.last(), byte) {
                (None, _) => return wrong(byte, "after top-level value"),
                (Some(b'}'), b',') => (pos, state) = (pos + 1, State::Key),
                (Some(b']'), b',') => (pos, state) = (pos + 1, State::Value),
                (Some(close), _) if *close == byte => {
                    open.pop();
                    pos += 1;
                }
                (Some(b'}'), _) => return wrong(byte, "after object key:value pair"),
                _ => return wrong(byte, "after array element"),
            },
        }
        if open.len() > 10_000 {
            return Some("exceeded max depth".to_string());
        }
    }
    (state != State::After || !open.is_empty()).then(|| "unexpected end of JSON input".to_string())
}

/// Passes a string, number or literal; the position after it, or the error.
fn scan_scalar(raw: &[u8], start: usize) -> Result<usize, String> {
    let at = |pos: usize| raw.get(pos).copied();
    let wrong = |pos: usize, context: &str| match at(pos) {
        Some(byte) => format!("invalid character {} {context}", quote(byte)),
        None => "unexpected end of JSON input".to_string(),
    };
    let mut pos = start + 1;
    match raw[start] {
        b'"' => loop {
            match at(pos) {
                Some(b'"') => return Ok(pos + 1),
                Some(b'\\') => match at(pos + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => pos += 2,
                    Some(b'u') => {
                        if let Some(bad) =
                            (pos + 2..pos + 6).find(|p| !at(*p).is_some_and(|b| b.is_ascii_hexdigit()))
                        {
                            return Err(wrong(bad, "in \\u hexadecimal character escape"));
                        }
                        pos += 6;
                    }
                    _ => return Err(wrong(pos + 1, "in string escape code")),
                },
                Some(byte) if byte >= 0x20 => pos += 1,
                _ => return Err(wrong(pos, "in string literal")),
            }
        },
        first @ (b't' | b'f' | b'n') => {
            let word: &[u8] = match first {
                b't' => b"true",
                b'f' => b"false",
                _ => b"null",
            };
            for (index, letter) in word.iter().enumerate().skip(1) {
                if at(start + index) != Some(*letter) {
                    let word = String::from_utf8_lossy(word);
                    return Err(wrong(
                        start + index,
                        &format!("in literal {word} (expecting {})", quote(*letter)),
                    ));
                }
            }
            Ok(start + word.len())
        }
        first @ (b'-' | b'0'..=b'9') => {
            let mut digit = first;
            if first == b'-' {
                match at(pos) {
                    Some(next @ b'0'..=b'9') => digit = next,
                    _ => return Err(wrong(pos, "in numeric literal")),
                }
                pos += 1;
            }
            let digits = |mut pos: usize| {
                while at(pos).is_some_and(|b| b.is_ascii_digit()) {
                    pos += 1;
                }
                pos
            };
            if digit != b'0' {
                pos = digits(pos);
            }
            if at(pos) == Some(b'.') {
                if !at(pos + 1).is_some_and(|b| b.is_ascii_digit()) {
                    return Err(wrong(pos + 1, "after decimal point in numeric literal"));
                }
                pos = digits(pos + 1);
            }
            if matches!(at(pos), Some(b'e' | b'E')) {
                pos += 1 + usize::from(matches!(at(pos + 1), Some(b'+' | b'-')));
                if !at(pos).is_some_and(|b| b.is_ascii_digit()) {
                    return Err(wrong(pos, "in exponent of numeric literal"));
                }
                pos = digits(pos);
            }
            Ok(pos)
        }
        _ => Err(wrong(start, "looking for beginning of value")),
    }
}

/// A byte in single quotes, as Go prints it in messages.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_string(),
        b'"' => "'\"'".to_string(),
        b'\\' => r"'\\'".to_string(),
        b'\n' => r"'\n'".to_string(),
        b'\r' => r"'\r'".to_string(),
        b'\t' => r"'\t'".to_string(),
        0x20..=0x7e => format!("'{}'", byte as char),
        0..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        // A byte is read as the character of that number.
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", byte as char),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_untyped;
    use super::*;

    #[test]
    fn syntax_errors_are_gos() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            ("nope", "invalid character 'o' in literal null (expecting 'u')"),
            (r#"{"a":1} extra"#, "invalid character 'e' after top-level value"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("[01]", "invalid character '1' after array element"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            (r#"{"a""#, "unexpected end of JSON input"),
            ("[[[", "unexpected end of JSON input"),
        ] {
            assert_eq!(parse_untyped(text.as_bytes()), Err(SyntaxError(message.into())), "{text}");
        }
    }
}
