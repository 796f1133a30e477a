//! Operators, equality, membership, `size`.

use super::{Outcome, Row, mismatch};
use crate::cost::Cost::{Comparison, Concatenation, Membership, Unit};
use crate::eval;
use crate::value::{Key, List, Map, Text, Value, compare, equal};
use crate::{Error, parse};

pub(super) const TABLE: &[Row] = &[
    // These are evaluated lazily; the rows are for the checker.
    ("_&&_(bool, bool): bool", Unit, lazy),
    ("_||_(bool, bool): bool", Unit, lazy),
    ("_?_:_(bool, A, A): A", Unit, lazy),
    ("@not_strictly_false(bool): bool", Unit, lazy),
    (":cel.@mapInsert(map<A, B>, map<A, B>): map<A, B>", Unit, insert),
    (":cel.@mapInsert(map<A, B>, A, B): map<A, B>", Unit, insert),
    ("!_(bool): bool", Unit, not),
    ("-_(int): int", Unit, negate),
    ("-_(double): double", Unit, negate),
    ("_==_(A, A): bool", Comparison, equals),
    ("_!=_(A, A): bool", Comparison, differs),
    ("_+_(int, int): int", Unit, add),
    ("_+_(uint, uint): uint", Unit, add),
    ("_+_(double, double): double", Unit, add),
    ("_+_(string, string): string", Concatenation, add),
    ("_+_(bytes, bytes): bytes", Concatenation, add),
    ("_+_(list<A>, list<A>): list<A>", Unit, add),
    ("_+_(timestamp, duration): timestamp", Unit, add),
    ("_+_(duration, timestamp): timestamp", Unit, add),
    ("_+_(duration, duration): duration", Unit, add),
    ("_-_(int, int): int", Unit, subtract),
    ("_-_(uint, uint): uint", Unit, subtract),
    ("_-_(double, double): double", Unit, subtract),
    ("_-_(timestamp, timestamp): duration", Unit, subtract),
    ("_-_(timestamp, duration): timestamp", Unit, subtract),
    ("_-_(duration, duration): duration", Unit, subtract),
    ("_*_(int, int): int", Unit, multiply),
    ("_*_(uint, uint): uint", Unit, multiply),
    ("_*_(double, double): double", Unit, multiply),
    ("_/_(int, int): int", Unit, divide),
    ("_/_(uint, uint): uint", Unit, divide),
    ("_/_(double, double): double", Unit, divide),
    ("_%_(int, int): int", Unit, modulo),
    ("_%_(uint, uint): uint", Unit, modulo),
    ("_[_](list<A>, int): A", Unit, index),
    ("_[_](map<A, B>, A): B", Unit, index),
    ("_[_](optional<list<A>>, int): optional<A>", Unit, index_optional),
    ("_[_](optional<map<A, B>>, A): optional<B>", Unit, index_optional),
    ("_[?_](list<A>, int): optional<A>", Unit, index_optional),
    ("_[?_](map<A, B>, A): optional<B>", Unit, index_optional),
    ("_[?_](optional<list<A>>, int): optional<A>", Unit, index_optional),
    ("_[?_](optional<map<A, B>>, A): optional<B>", Unit, index_optional),
    ("@in(A, list<A>): bool", Membership, contained),
    ("@in(A, map<A, B>): bool", Unit, contained),
    ("size(string): int", Unit, size),
    ("size(bytes): int", Unit, size),
    ("size(list<A>): int", Unit, size),
    ("size(map<A, B>): int", Unit, size),
    ("string.size(): int", Unit, size),
    ("bytes.size(): int", Unit, size),
    ("list<A>.size(): int", Unit, size),
    ("map<A, B>.size(): int", Unit, size),
    ("_<_(bool, bool): bool", Comparison, less),
    ("_<_(int, int): bool", Comparison, less),
    ("_<_(int, uint): bool", Comparison, less),
    ("_<_(int, double): bool", Comparison, less),
    ("_<_(uint, uint): bool", Comparison, less),
    ("_<_(uint, int): bool", Comparison, less),
    ("_<_(uint, double): bool", Comparison, less),
    ("_<_(double, double): bool", Comparison, less),
    ("_<_(double, int): bool", Comparison, less),
    ("_<_(double, uint): bool", Comparison, less),
    ("_<_(string, string): bool", Comparison, less),
    ("_<_(bytes, bytes): bool", Comparison, less),
    ("_<_(timestamp, timestamp): bool", Comparison, less),
    ("_<_(duration, duration): bool", Comparison, less),
    ("_<=_(bool, bool): bool", Comparison, at_most),
    ("_<=_(int, int): bool", Comparison, at_most),
    ("_<=_(int, uint): bool", Comparison, at_most),
    ("_<=_(int, double): bool", Comparison, at_most),
    ("_<=_(uint, uint): bool", Comparison, at_most),
    ("_<=_(uint, int): bool", Comparison, at_most),
    ("_<=_(uint, double): bool", Comparison, at_most),
    ("_<=_(double, double): bool", Comparison, at_most),
    ("_<=_(double, int): bool", Comparison, at_most),
    ("_<=_(double, uint): bool", Comparison, at_most),
    ("_<=_(string, string): bool", Comparison, at_most),
    ("_<=_(bytes, bytes): bool", Comparison, at_most),
    ("_<=_(timestamp, timestamp): bool", Comparison, at_most),
    ("_<=_(duration, duration): bool", Comparison, at_most),
    ("_>_(bool, bool): bool", Comparison, greater),
    ("_>_(int, int): bool", Comparison, greater),
    ("_>_(int, uint): bool", Comparison, greater),
    ("_>_(int, double): bool", Comparison, greater),
    ("_>_(uint, uint): bool", Comparison, greater),
    ("_>_(uint, int): bool", Comparison, greater),
    ("_>_(uint, double): bool", Comparison, greater),
    ("_>_(double, double): bool", Comparison, greater),
    ("_>_(double, int): bool", Comparison, greater),
    ("_>_(double, uint): bool", Comparison, greater),
    ("_>_(string, string): bool", Comparison, greater),
    ("_>_(bytes, bytes): bool", Comparison, greater),
    ("_>_(timestamp, timestamp): bool", Comparison, greater),
    ("_>_(duration, duration): bool", Comparison, greater),
    ("_>=_(bool, bool): bool", Comparison, at_least),
    ("_>=_(int, int): bool", Comparison, at_least),
    ("_>=_(int, uint): bool", Comparison, at_least),
    ("_>=_(int, double): bool", Comparison, at_least),
    ("_>=_(uint, uint): bool", Comparison, at_least),
    ("_>=_(uint, int): bool", Comparison, at_least),
    ("_>=_(uint, double): bool", Comparison, at_least),
    ("_>=_(double, double): bool", Comparison, at_least),
    ("_>=_(double, int): bool", Comparison, at_least),
    ("_>=_(double, uint): bool", Comparison, at_least),
    ("_>=_(string, string): bool", Comparison, at_least),
    ("_>=_(bytes, bytes): bool", Comparison, at_least),
    ("_>=_(timestamp, timestamp): bool", Comparison, at_least),
    ("_>=_(duration, duration): bool", Comparison, at_least),
];

fn lazy<'a>(_: &[Value<'a>]) -> Outcome<'a> {
    mismatch()
}

fn overflow<'a, T>(made: Option<T>, kind: &str, wrap: fn(T) -> Value<'a>) -> Outcome<'a> {
    made.map(wrap).ok_or_else(|| Error::new(format!("{kind} overflow")))
}

const INT: &str = "integer";
const UINT: &str = "unsigned integer";

fn insert<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    debug_assert_eq!(parse::MAP_INSERT, "cel.@mapInsert");
    let (Some(Value::Map(map)), rest) = (args.first(), args.get(1..).unwrap_or_default()) else {
        return mismatch();
    };
    let mut made: std::collections::BTreeMap<Key, Value<'a>> =
        map.iter().filter_map(|(k, v)| Key::of(&k).map(|k| (k, v))).collect();
    match rest {
        [key, value] => {
            made.insert(Key::of(key).ok_or_else(Error::no_such_overload)?, value.clone());
        }
        [Value::Map(more)] => made.extend(more.iter().filter_map(|(k, v)| Key::of(&k).map(|k| (k, v)))),
        _ => return mismatch(),
    }
    Ok(Value::Map(Map::Made(made.into())))
}

fn not<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(b)] => Ok(Value::Bool(!b)),
        _ => mismatch(),
    }
}

fn negate<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(n)] => overflow(n.checked_neg(), INT, Value::Int),
        [Value::Double(d)] => Ok(Value::Double(-d)),
        _ => mismatch(),
    }
}

fn equals<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [a, b] => Ok(Value::Bool(equal(a, b))),
        _ => mismatch(),
    }
}

fn differs<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [a, b] => Ok(Value::Bool(!equal(a, b))),
        _ => mismatch(),
    }
}

fn add<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => overflow(a.checked_add(*b), INT, Value::Int),
        [Value::Uint(a), Value::Uint(b)] => overflow(a.checked_add(*b), UINT, Value::Uint),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => Ok(Value::text([&**a, &**b].concat())),
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes([&**a, &**b].concat().into())),
        [Value::List(a), Value::List(b)] => Ok(Value::list(a.iter().chain(b.iter()).collect())),
        [Value::Timestamp(t), Value::Duration(d)] | [Value::Duration(d), Value::Timestamp(t)] => {
            overflow(t.checked_add(jiff::SignedDuration::from_nanos(*d)).ok(), "timestamp", Value::Timestamp)
        }
        [Value::Duration(a), Value::Duration(b)] => overflow(a.checked_add(*b), "duration", Value::Duration),
        _ => mismatch(),
    }
}

fn subtract<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => overflow(a.checked_sub(*b), INT, Value::Int),
        [Value::Uint(a), Value::Uint(b)] => overflow(a.checked_sub(*b), UINT, Value::Uint),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            let span = a.as_nanosecond() - b.as_nanosecond();
            overflow(i64::try_from(span).ok(), "duration", Value::Duration)
        }
        [Value::Timestamp(t), Value::Duration(d)] => {
            overflow(t.checked_sub(jiff::SignedDuration::from_nanos(*d)).ok(), "timestamp", Value::Timestamp)
        }
        [Value::Duration(a), Value::Duration(b)] => overflow(a.checked_sub(*b), "duration", Value::Duration),
        _ => mismatch(),
    }
}

fn multiply<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => overflow(a.checked_mul(*b), INT, Value::Int),
        [Value::Uint(a), Value::Uint(b)] => overflow(a.checked_mul(*b), UINT, Value::Uint),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => mismatch(),
    }
}

fn divide<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [_, Value::Int(0)] | [_, Value::Uint(0)] => Err(Error::new("division by zero")),
        [Value::Int(a), Value::Int(b)] => overflow(a.checked_div(*b), INT, Value::Int),
        [Value::Uint(a), Value::Uint(b)] => overflow(a.checked_div(*b), UINT, Value::Uint),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => mismatch(),
    }
}

fn modulo<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [_, Value::Int(0)] | [_, Value::Uint(0)] => Err(Error::new("modulus by zero")),
        [Value::Int(a), Value::Int(b)] => overflow(a.checked_rem(*b), INT, Value::Int),
        [Value::Uint(a), Value::Uint(b)] => overflow(a.checked_rem(*b), UINT, Value::Uint),
        _ => mismatch(),
    }
}

fn index<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [of, at] = args else { return mismatch() };
    eval::index(of, at)?.ok_or_else(|| match of {
        Value::List(_) => Error::new(format!("index out of bounds: {}", shown(at))),
        _ => Error::no_such_key(shown(at)),
    })
}

fn index_optional<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [of, at] = args else { return mismatch() };
    Ok(match eval::index(of, at)? {
        Some(Value::Optional(inner)) => Value::Optional(inner),
        Some(value) => Value::some(value),
        None => Value::Optional(None),
    })
}

/// A key or index as messages show it.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Double(d) => d.to_string(),
        Value::Uint(n) => n.to_string(),
        other => Key::of(other).map_or_else(|| other.type_name().to_string(), |key| super::shown_key(&key)),
    }
}

fn contained<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [item, within] => eval::contains(item, within).map(Value::Bool),
        _ => mismatch(),
    }
}

fn size<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let count = match args {
        [Value::String(Text::Borrowed(text))] => text.chars().count(),
        [Value::String(text)] => text.chars().count(),
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(List::Json(items, _))] => items.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return mismatch(),
    };
    Ok(Value::Int(count as i64))
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(std::cmp::Ordering) -> bool) -> Outcome<'a> {
    match args {
        // A float that is no number is neither less nor greater.
        [Value::Double(d), _] | [_, Value::Double(d)] if d.is_nan() => Ok(Value::Bool(false)),
        [a, b] => compare(a, b).map(|order| Value::Bool(holds(order))).ok_or_else(Error::no_such_overload),
        _ => mismatch(),
    }
}

fn less<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, std::cmp::Ordering::is_lt)
}

fn at_most<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, std::cmp::Ordering::is_le)
}

fn greater<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, std::cmp::Ordering::is_gt)
}

fn at_least<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, std::cmp::Ordering::is_ge)
}
