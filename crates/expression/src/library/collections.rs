//! Lists and sets.

use std::cmp::Ordering;

use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Elements, Product, Unit};
use crate::value::{List, Value, compare, equal};

pub(super) const TABLE: &[Row] = &[
    ("list<int>.isSorted(): bool", Elements, is_sorted),
    ("list<uint>.isSorted(): bool", Elements, is_sorted),
    ("list<double>.isSorted(): bool", Elements, is_sorted),
    ("list<bool>.isSorted(): bool", Elements, is_sorted),
    ("list<string>.isSorted(): bool", Elements, is_sorted),
    ("list<bytes>.isSorted(): bool", Elements, is_sorted),
    ("list<timestamp>.isSorted(): bool", Elements, is_sorted),
    ("list<duration>.isSorted(): bool", Elements, is_sorted),
    ("list<int>.sum(): int", Elements, |a| sum(a, Value::Int(0))),
    ("list<uint>.sum(): uint", Elements, |a| sum(a, Value::Uint(0))),
    ("list<double>.sum(): double", Elements, |a| sum(a, Value::Double(0.0))),
    ("list<duration>.sum(): duration", Elements, |a| sum(a, Value::Duration(0))),
    ("list<int>.min(): int", Elements, min),
    ("list<uint>.min(): uint", Elements, min),
    ("list<double>.min(): double", Elements, min),
    ("list<bool>.min(): bool", Elements, min),
    ("list<string>.min(): string", Elements, min),
    ("list<bytes>.min(): bytes", Elements, min),
    ("list<timestamp>.min(): timestamp", Elements, min),
    ("list<duration>.min(): duration", Elements, min),
    ("list<int>.max(): int", Elements, max),
    ("list<uint>.max(): uint", Elements, max),
    ("list<double>.max(): double", Elements, max),
    ("list<bool>.max(): bool", Elements, max),
    ("list<string>.max(): string", Elements, max),
    ("list<bytes>.max(): bytes", Elements, max),
    ("list<timestamp>.max(): timestamp", Elements, max),
    ("list<duration>.max(): duration", Elements, max),
    ("list<A>.indexOf(A): int", Elements, index_of),
    ("list<A>.lastIndexOf(A): int", Elements, last_index_of),
    ("list<A>.first(): optional<A>", Unit, first),
    ("list<A>.last(): optional<A>", Unit, last),
    (":sets.contains(list<A>, list<A>): bool", Product, set_contains),
    (":sets.equivalent(list<A>, list<A>): bool", Product, set_equivalent),
    (":sets.intersects(list<A>, list<A>): bool", Product, set_intersects),
];

fn ordered(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Error> {
    compare(a, b).ok_or_else(Error::no_such_overload)
}

fn is_sorted<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return mismatch() };
    let mut before: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(before) = &before
            && ordered(before, &item)?.is_gt()
        {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>) -> Outcome<'a> {
    let [Value::List(list)] = args else { return mismatch() };
    let mut total = zero;
    // An empty list is of every type; its elements decide otherwise.
    for (i, item) in list.iter().enumerate() {
        total = match (total, item) {
            (Value::Int(a), Value::Int(b)) => {
                Value::Int(a.checked_add(b).ok_or_else(|| Error::new("integer overflow"))?)
            }
            (Value::Uint(a), Value::Uint(b)) => {
                Value::Uint(a.checked_add(b).ok_or_else(|| Error::new("unsigned integer overflow"))?)
            }
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => {
                Value::Duration(a.checked_add(b).ok_or_else(|| Error::new("duration overflow"))?)
            }
            (_, item) if i == 0 => item,
            _ => return mismatch(),
        };
    }
    Ok(total)
}

fn extreme<'a>(args: &[Value<'a>], name: &str, better: Ordering) -> Outcome<'a> {
    let [Value::List(list)] = args else { return mismatch() };
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        match &best {
            Some(so_far) if ordered(&item, so_far)? != better => {}
            _ => best = Some(item),
        }
    }
    best.ok_or_else(|| Error::new(format!("{name} called on empty list")))
}

fn min<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    extreme(args, "min", Ordering::Less)
}

fn max<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    extreme(args, "max", Ordering::Greater)
}

fn position<'a>(found: Option<usize>) -> Value<'a> {
    Value::Int(found.map_or(-1, |at| at as i64))
}

fn index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), item] => {
            let found = list.iter().position(|x| equal(&x, item));
            Ok(position(found))
        }
        _ => mismatch(),
    }
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), item] => {
            let found = (0..list.len()).rev().find(|i| list.get(*i).is_some_and(|x| equal(&x, item)));
            Ok(position(found))
        }
        _ => mismatch(),
    }
}

fn first<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list)] => Ok(list.get(0).map_or(Value::Optional(None), Value::some)),
        _ => mismatch(),
    }
}

fn last<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list)] => {
            let last = list.len().checked_sub(1).and_then(|i| list.get(i));
            Ok(last.map_or(Value::Optional(None), Value::some))
        }
        _ => mismatch(),
    }
}

fn within(part: &List<'_>, whole: &List<'_>) -> bool {
    part.iter().all(|x| whole.iter().any(|y| equal(&x, &y)))
}

fn set_contains<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(whole), Value::List(part)] => Ok(Value::Bool(within(part, whole))),
        _ => mismatch(),
    }
}

fn set_equivalent<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(a), Value::List(b)] => Ok(Value::Bool(within(a, b) && within(b, a))),
        _ => mismatch(),
    }
}

fn set_intersects<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(a), Value::List(b)] => {
            Ok(Value::Bool(a.iter().any(|x| b.iter().any(|y| equal(&x, &y)))))
        }
        _ => mismatch(),
    }
}
