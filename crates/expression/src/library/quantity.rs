//! Quantities such as `1.5Gi`.

use api_types::quantity::{Format, Quantity};

use super::opaque::Opaque;
use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Text, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("quantity(string): kubernetes.Quantity", Text, quantity),
    ("isQuantity(string): bool", Text, is_quantity),
    ("kubernetes.Quantity.sign(): int", Unit, |a| with(a, |q| Value::Int(q.signum().into()))),
    ("kubernetes.Quantity.isInteger(): bool", Unit, |a| with(a, |q| Value::Bool(q.is_integer()))),
    ("kubernetes.Quantity.asApproximateFloat(): double", Unit, |a| with(a, |q| Value::Double(q.to_f64()))),
    ("kubernetes.Quantity.asInteger(): int", Unit, as_integer),
    ("kubernetes.Quantity.isGreaterThan(kubernetes.Quantity): bool", Unit, |a| {
        two(a, |a, b| Value::Bool(a > b))
    }),
    ("kubernetes.Quantity.isLessThan(kubernetes.Quantity): bool", Unit, |a| {
        two(a, |a, b| Value::Bool(a < b))
    }),
    ("kubernetes.Quantity.compareTo(kubernetes.Quantity): int", Unit, |a| {
        two(a, |a, b| Value::Int(a.cmp(&b) as i64))
    }),
    ("kubernetes.Quantity.add(kubernetes.Quantity): kubernetes.Quantity", Unit, |a| {
        two(a, |a, b| made(a + b))
    }),
    ("kubernetes.Quantity.sub(kubernetes.Quantity): kubernetes.Quantity", Unit, |a| {
        two(a, |a, b| made(a - b))
    }),
    ("kubernetes.Quantity.add(int): kubernetes.Quantity", Unit, |a| {
        with_int(a, |q, n| made(q + Quantity::new(n, Format::DecimalSi)))
    }),
    ("kubernetes.Quantity.sub(int): kubernetes.Quantity", Unit, |a| {
        with_int(a, |q, n| made(q - Quantity::new(n, Format::DecimalSi)))
    }),
];

fn made<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Opaque::Quantity(quantity))
}

fn quantity<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => {
            Quantity::parse(text).map(made).map_err(|error| Error::new(error.to_string()))
        }
        _ => mismatch(),
    }
}

fn is_quantity<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        _ => mismatch(),
    }
}

fn with<'a>(args: &[Value<'a>], get: fn(Quantity) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(q))] => Ok(get(*q)),
        _ => mismatch(),
    }
}

fn two<'a>(args: &[Value<'a>], join: fn(Quantity, Quantity) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(a)), Value::Opaque(Opaque::Quantity(b))] => Ok(join(*a, *b)),
        _ => mismatch(),
    }
}

fn with_int<'a>(args: &[Value<'a>], join: fn(Quantity, i64) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(q)), Value::Int(n)] => Ok(join(*q, *n)),
        _ => mismatch(),
    }
}

fn as_integer<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(q))] if q.is_integer() => Ok(Value::Int(q.value())),
        [Value::Opaque(Opaque::Quantity(_))] => Err(Error::new("cannot convert value to integer")),
        _ => mismatch(),
    }
}
