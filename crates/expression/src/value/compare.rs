//! Equality and order of values.

use std::cmp::Ordering;

use api_types::schema::Topology;

use super::{List, Map, Value};

/// Equality across types: values of different kinds differ, numbers are compared as numbers.
pub(crate) fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Opaque(a), Value::Opaque(b)) => a.equal(b),
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => equal(a, b),
            _ => false,
        },
        (Value::List(a), Value::List(b)) => lists(a, b),
        (Value::Map(a), Value::Map(b)) => maps(a, b),
        _ => numbers(a, b) == Some(Ordering::Equal),
    }
}

/// Order, for values that have one with each other.
pub(crate) fn compare(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => numbers(a, b),
    }
}

fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |v: &Value<'_>| match v {
        Value::Int(n) => Some(i128::from(*n)),
        Value::Uint(n) => Some(i128::from(*n)),
        _ => None,
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => float(b).and_then(|b| (a as f64).partial_cmp(&b)),
        (None, Some(b)) => float(a).and_then(|a| a.partial_cmp(&(b as f64))),
        (None, None) => float(a)?.partial_cmp(&float(b)?),
    }
}

fn float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        _ => None,
    }
}

/// Longer lists are compared in order only: every element is looked for in the other list, which no budget counts.
const UNORDERED: usize = 2_000;

/// Lists that the schema makes a set or a map of are equal in any order.
fn lists(a: &List<'_>, b: &List<'_>) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.iter().zip(b.iter()).all(|(x, y)| equal(&x, &y)) {
        return true;
    }
    let schema = a.schema().or_else(|| b.schema());
    match schema.map(|s| &s.topology) {
        Some(Topology::Set | Topology::Map(_)) if a.len() <= UNORDERED => {
            a.iter().all(|x| b.iter().any(|y| equal(&x, &y)))
                && b.iter().all(|y| a.iter().any(|x| equal(&x, &y)))
        }
        _ => false,
    }
}

fn maps(a: &Map<'_>, b: &Map<'_>) -> bool {
    if let (Map::Struct(a, _), Map::Struct(b, _)) = (a, b)
        && a != b
    {
        return false;
    }
    a.len() == b.len()
        && a.iter().all(|(key, x)| {
            let y = match &key {
                Value::String(name) => match b {
                    Map::Json(map, schema) => super::json::entry_exact(map, schema.as_ref(), name),
                    _ => b.field(name),
                },
                _ => super::Key::of(&key).and_then(|key| b.get(&key)),
            };
            y.is_some_and(|y| equal(&x, &y))
        })
}
