//! Regular expressions (RE2 syntax). Compiled ones are kept for the next call.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use regex::Regex;

use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost;
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("matches(string, string): bool", Cost::Regex, matches),
    ("string.matches(string): bool", Cost::Regex, matches),
    ("string.find(string): string", Cost::Regex, find),
    ("string.findAll(string): list<string>", Cost::Regex, find_all),
    ("string.findAll(string, int): list<string>", Cost::Regex, find_all),
];

/// Patterns that are kept.
const KEPT: usize = 256;
/// Bytes that a compiled pattern may take.
const SIZE: usize = 1 << 20;

static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Regex>>>> = LazyLock::new(Mutex::default);

fn compiled(pattern: &str) -> Result<Arc<Regex>, Error> {
    if let Some(known) = COMPILED.lock().get(pattern) {
        return Ok(known.clone());
    }
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(SIZE)
        .build()
        .map_err(|_| Error::new(format!("error parsing regexp: invalid pattern: `{pattern}`")))?;
    let regex = Arc::new(regex);
    let mut kept = COMPILED.lock();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

fn matches<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(pattern)] => Ok(Value::Bool(compiled(pattern)?.is_match(text))),
        _ => mismatch(),
    }
}

fn find<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(pattern)] => {
            Ok(Value::text(compiled(pattern)?.find(text).map_or("", |found| found.as_str())))
        }
        _ => mismatch(),
    }
}

fn find_all<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, most) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, usize::MAX),
        [Value::String(text), Value::String(pattern), Value::Int(most)] => {
            (text, pattern, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return mismatch(),
    };
    let regex = compiled(pattern)?;
    Ok(Value::list(regex.find_iter(text).take(most).map(|found| Value::text(found.as_str())).collect()))
}
