//! Values that may be absent.

use super::time::is_epoch;
use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Elements, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    (":optional.of(A): optional<A>", Unit, of),
    (":optional.none(): optional<A>", Unit, none),
    (":optional.ofNonZeroValue(A): optional<A>", Unit, of_non_zero),
    (":optional.unwrap(list<optional<A>>): list<A>", Elements, unwrap),
    ("list<optional<A>>.unwrapOpt(): list<A>", Elements, unwrap),
    ("optional<A>.hasValue(): bool", Unit, has_value),
    ("optional<A>.value(): A", Unit, value),
    ("optional<A>.or(optional<A>): optional<A>", Unit, or),
    ("optional<A>.orValue(A): A", Unit, or_value),
];

fn of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(Value::some(value.clone())),
        _ => mismatch(),
    }
}

fn none<'a>(_: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Optional(None))
}

fn of_non_zero<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [value] = args else { return mismatch() };
    let zero = match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
        Value::Double(d) => *d == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Timestamp(time) => is_epoch(time),
        Value::Optional(inner) => inner.is_none(),
        _ => false,
    };
    Ok(if zero { Value::Optional(None) } else { Value::some(value.clone()) })
}

fn unwrap<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return mismatch() };
    let mut values = Vec::new();
    for item in list.iter() {
        match item {
            Value::Optional(Some(value)) => values.push((*value).clone()),
            Value::Optional(None) => {}
            _ => return mismatch(),
        }
    }
    Ok(Value::list(values))
}

fn has_value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => mismatch(),
    }
}

fn value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Error::new("optional.none() dereference")),
        _ => mismatch(),
    }
}

fn or<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(value)), _] => Ok(Value::Optional(Some(value.clone()))),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => mismatch(),
    }
}

fn or_value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => mismatch(),
    }
}
