//! Text: the standard functions and the extended ones.

use super::{Outcome, Row, mismatch, sprintf};
use crate::Error;
use crate::cost::Cost::{Elements, Rewrite, Search, Text, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("string.contains(string): bool", Search, contains),
    ("string.startsWith(string): bool", Text, starts_with),
    ("string.endsWith(string): bool", Text, ends_with),
    ("string.charAt(int): string", Unit, char_at),
    ("string.indexOf(string): int", Search, index_of),
    ("string.indexOf(string, int): int", Search, index_of),
    ("string.lastIndexOf(string): int", Search, last_index_of),
    ("string.lastIndexOf(string, int): int", Search, last_index_of),
    ("string.lowerAscii(): string", Text, lower),
    ("string.upperAscii(): string", Text, upper),
    ("string.replace(string, string): string", Rewrite, replace),
    ("string.replace(string, string, int): string", Rewrite, replace),
    ("string.split(string): list<string>", Text, split),
    ("string.split(string, int): list<string>", Text, split),
    ("string.substring(int): string", Text, substring),
    ("string.substring(int, int): string", Text, substring),
    ("string.trim(): string", Text, trim),
    ("list<string>.join(): string", Elements, join),
    ("list<string>.join(string): string", Elements, join),
    ("string.format(list<dyn>): string", Text, format),
    (":strings.quote(string): string", Text, quote),
    (":jsonpatch.escapeKey(string): string", Text, escape_key),
];

fn contains<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(&**part))),
        _ => mismatch(),
    }
}

fn starts_with<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(&**part))),
        _ => mismatch(),
    }
}

fn ends_with<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(&**part))),
        _ => mismatch(),
    }
}

fn out_of_range<'a>(index: i64) -> Outcome<'a> {
    Err(Error::new(format!("index out of range: {index}")))
}

fn char_at<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(at)] = args else { return mismatch() };
    let Ok(position) = usize::try_from(*at) else { return out_of_range(*at) };
    match text.chars().nth(position) {
        Some(c) => Ok(Value::text(c.to_string())),
        None if position == text.chars().count() => Ok(Value::text("")),
        None => out_of_range(*at),
    }
}

/// Positions are counted in characters.
fn position<'a>(text: &str, bytes: Option<usize>) -> Value<'a> {
    Value::Int(bytes.map_or(-1, |at| text[..at].chars().count() as i64))
}

fn bytes_of(text: &str, chars: usize) -> Option<usize> {
    text.char_indices().map(|(i, _)| i).chain([text.len()]).nth(chars)
}

fn index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(position(text, text.find(&**part))),
        [Value::String(text), Value::String(part), Value::Int(from)] => {
            if part.is_empty() {
                return Ok(Value::Int(*from));
            }
            let start = usize::try_from(*from).ok().and_then(|from| bytes_of(text, from));
            let Some(start) = start else { return out_of_range(*from) };
            Ok(position(text, text[start..].find(&**part).map(|at| at + start)))
        }
        _ => mismatch(),
    }
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(position(text, text.rfind(&**part))),
        [Value::String(text), Value::String(part), Value::Int(from)] => {
            if part.is_empty() {
                return Ok(Value::Int(*from));
            }
            let start = usize::try_from(*from).ok().and_then(|from| bytes_of(text, from));
            let Some(start) = start else { return out_of_range(*from) };
            let found = text.match_indices(&**part).map(|(at, _)| at).take_while(|at| *at <= start).last();
            Ok(position(text, found))
        }
        _ => mismatch(),
    }
}

fn lower<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.to_ascii_lowercase())),
        _ => mismatch(),
    }
}

fn upper<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.to_ascii_uppercase())),
        _ => mismatch(),
    }
}

fn replace<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(old), Value::String(new)] => {
            Ok(Value::text(text.replace(&**old, new)))
        }
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(count)] => {
            Ok(Value::text(match usize::try_from(*count) {
                Ok(count) => text.replacen(&**old, new, count),
                Err(_) => text.replace(&**old, new),
            }))
        }
        _ => mismatch(),
    }
}

fn split<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, by, limit) = match args {
        [Value::String(text), Value::String(by)] => (text, by, -1),
        [Value::String(text), Value::String(by), Value::Int(limit)] => (text, by, *limit),
        _ => return mismatch(),
    };
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    if by.is_empty() {
        // Every character by itself, the last part taking the rest.
        let mut parts = Vec::new();
        let mut rest = &**text;
        while let Some(c) = rest.chars().next() {
            if parts.len() + 1 >= most {
                break;
            }
            let (first, after) = rest.split_at(c.len_utf8());
            parts.push(Value::text(first));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Value::text(rest));
        }
        return Ok(Value::list(parts));
    }
    Ok(Value::list(text.splitn(most, &**by).map(Value::text).collect()))
}

fn substring<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, from, to) = match args {
        [Value::String(text), Value::Int(from)] => (text, *from, text.chars().count() as i64),
        [Value::String(text), Value::Int(from), Value::Int(to)] => (text, *from, *to),
        _ => return mismatch(),
    };
    if from > to {
        return Err(Error::new(format!("invalid substring range. start: {from}, end: {to}")));
    }
    let bytes = |at: i64| usize::try_from(at).ok().and_then(|at| bytes_of(text, at));
    match (bytes(from), bytes(to)) {
        (Some(start), Some(end)) => Ok(Value::text(&text[start..end])),
        (None, _) => out_of_range(from),
        _ => out_of_range(to),
    }
}

fn trim<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.trim())),
        _ => mismatch(),
    }
}

fn join<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (list, by) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(by)] => (list, &**by),
        _ => return mismatch(),
    };
    let mut joined = String::new();
    for (i, part) in list.iter().enumerate() {
        if i > 0 {
            joined.push_str(by);
        }
        joined.push_str(part.as_str().ok_or_else(Error::no_such_overload)?);
    }
    Ok(Value::text(joined))
}

fn format<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::List(list)] => sprintf::format(text, list).map(Value::text),
        _ => mismatch(),
    }
}

fn quote<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = args else { return mismatch() };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

/// A key as a step of a JSON pointer (RFC 6901).
fn escape_key<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.replace('~', "~0").replace('/', "~1"))),
        _ => mismatch(),
    }
}
