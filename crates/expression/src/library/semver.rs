//! Semantic versions.

use std::sync::Arc;

use ::semver::Version;

use super::opaque::Opaque;
use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Text, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("semver(string): kubernetes.Semver", Text, semver),
    ("semver(string, bool): kubernetes.Semver", Text, semver),
    ("isSemver(string): bool", Text, is_semver),
    ("isSemver(string, bool): bool", Text, is_semver),
    ("kubernetes.Semver.major(): int", Unit, |a| part(a, |v| v.major)),
    ("kubernetes.Semver.minor(): int", Unit, |a| part(a, |v| v.minor)),
    ("kubernetes.Semver.patch(): int", Unit, |a| part(a, |v| v.patch)),
    ("kubernetes.Semver.isGreaterThan(kubernetes.Semver): bool", Unit, |a| {
        two(a, |order| Value::Bool(order.is_gt()))
    }),
    ("kubernetes.Semver.isLessThan(kubernetes.Semver): bool", Unit, |a| {
        two(a, |order| Value::Bool(order.is_lt()))
    }),
    ("kubernetes.Semver.compareTo(kubernetes.Semver): int", Unit, |a| {
        two(a, |order| Value::Int(order as i64))
    }),
];

fn read(args: &[Value<'_>]) -> Result<Result<Version, ::semver::Error>, Error> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(Version::parse(&normalized(text))),
        _ => Err(Error::no_such_overload()),
    }
}

/// Without a `v`, with minor and patch where they are missing, and without leading zeros.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers.split('.').map(unpadded).collect();
    while parts.len() < 3 && rest.is_empty() {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn unpadded(part: &str) -> &str {
    let trimmed = part.trim_start_matches('0');
    if trimmed.is_empty() && !part.is_empty() { "0" } else { trimmed }
}

fn semver<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match read(args)? {
        Ok(version) => Ok(Value::Opaque(Opaque::Semver(Arc::new(version)))),
        Err(error) => Err(Error::new(error.to_string())),
    }
}

fn is_semver<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(read(args)?.is_ok()))
}

fn part<'a>(args: &[Value<'a>], of: fn(&Version) -> u64) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Semver(version))] => {
            i64::try_from(of(version)).map(Value::Int).map_err(|_| Error::new("integer overflow"))
        }
        _ => mismatch(),
    }
}

fn two<'a>(args: &[Value<'a>], judge: fn(std::cmp::Ordering) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Semver(a)), Value::Opaque(Opaque::Semver(b))] => {
            Ok(judge(a.cmp_precedence(b)))
        }
        _ => mismatch(),
    }
}
