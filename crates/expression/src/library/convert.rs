//! Conversions between types: `int(x)`, `string(x)`, `type(x)` and the like.

use super::opaque::Opaque;
use super::{Outcome, Row, duration_text, mismatch, parse_duration};
use crate::Error;
use crate::cost::Cost::{Text, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("type(A): type<A>", Unit, type_of),
    ("dyn(A): dyn", Unit, same),
    ("bool(bool): bool", Unit, same),
    ("bool(string): bool", Unit, to_bool),
    ("int(int): int", Unit, same),
    ("int(uint): int", Unit, to_int),
    ("int(double): int", Unit, to_int),
    ("int(string): int", Unit, to_int),
    ("int(timestamp): int", Unit, to_int),
    ("int(duration): int", Unit, to_int),
    ("uint(uint): uint", Unit, same),
    ("uint(int): uint", Unit, to_uint),
    ("uint(double): uint", Unit, to_uint),
    ("uint(string): uint", Unit, to_uint),
    ("double(double): double", Unit, same),
    ("double(int): double", Unit, to_double),
    ("double(uint): double", Unit, to_double),
    ("double(string): double", Unit, to_double),
    ("bytes(bytes): bytes", Unit, same),
    ("bytes(string): bytes", Text, to_bytes),
    ("string(string): string", Unit, same),
    ("string(bool): string", Unit, to_string),
    ("string(int): string", Unit, to_string),
    ("string(uint): string", Unit, to_string),
    ("string(double): string", Unit, to_string),
    ("string(bytes): string", Text, to_string),
    ("string(timestamp): string", Unit, to_string),
    ("string(duration): string", Unit, to_string),
    ("string(net.IP): string", Text, to_string),
    ("string(net.CIDR): string", Text, to_string),
    ("timestamp(timestamp): timestamp", Unit, same),
    ("timestamp(int): timestamp", Unit, to_timestamp),
    ("timestamp(string): timestamp", Unit, to_timestamp),
    ("duration(duration): duration", Unit, same),
    ("duration(int): duration", Unit, to_duration),
    ("duration(string): duration", Unit, to_duration),
];

fn same<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    args.first().cloned().ok_or_else(Error::no_such_overload)
}

fn type_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    args.first().map(|value| Value::Type(value.type_name())).ok_or_else(Error::no_such_overload)
}

fn unreadable<'a>(text: &str, to: &str) -> Outcome<'a> {
    Err(Error::new(format!("type conversion error from 'string' to '{to}': {text:?}")))
}

fn to_bool<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = args else { return mismatch() };
    match &**text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
        other => unreadable(other, "bool"),
    }
}

fn to_int<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || Error::new("integer overflow");
    match args {
        [Value::Uint(n)] => i64::try_from(*n).map(Value::Int).map_err(|_| overflow()),
        [Value::Double(d)]
            if d.is_finite() && *d > -9_223_372_036_854_775_808.0 && *d < 9_223_372_036_854_775_808.0 =>
        {
            Ok(Value::Int(*d as i64))
        }
        [Value::Double(_)] => Err(overflow()),
        [Value::String(text)] => text.parse().map(Value::Int).map_err(|_| {
            Error::new(format!("strconv.ParseInt: parsing {:?}: {}", &**text, number_fault(text)))
        }),
        [Value::Timestamp(time)] => Ok(Value::Int(time.as_second())),
        [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
        _ => mismatch(),
    }
}

/// Why a text is no whole number, as Go says it.
fn number_fault(text: &str) -> &'static str {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if number { "value out of range" } else { "invalid syntax" }
}

fn to_uint<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || Error::new("unsigned integer overflow");
    match args {
        [Value::Int(n)] => u64::try_from(*n).map(Value::Uint).map_err(|_| overflow()),
        [Value::Double(d)] if *d >= 0.0 && *d < 18_446_744_073_709_551_616.0 => Ok(Value::Uint(*d as u64)),
        [Value::Double(_)] => Err(overflow()),
        [Value::String(text)] => text.parse().map(Value::Uint).map_err(|_| {
            Error::new(format!("strconv.ParseUint: parsing {:?}: {}", &**text, number_fault(text)))
        }),
        _ => mismatch(),
    }
}

fn to_double<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(n)] => Ok(Value::Double(*n as f64)),
        [Value::Uint(n)] => Ok(Value::Double(*n as f64)),
        [Value::String(text)] => text
            .parse()
            .map(Value::Double)
            .map_err(|_| Error::new(format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**text))),
        _ => mismatch(),
    }
}

fn to_bytes<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => mismatch(),
    }
}

fn to_string<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::text(match args {
        [Value::Bool(b)] => b.to_string(),
        [Value::Int(n)] => n.to_string(),
        [Value::Uint(n)] => n.to_string(),
        [Value::Double(d)] => super::sprintf::double_text(*d),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(Error::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [Value::Timestamp(time)] => time.to_string(),
        [Value::Duration(nanos)] => duration_text(*nanos),
        [Value::Opaque(Opaque::Ip(ip))] => ip.to_string(),
        [Value::Opaque(Opaque::Cidr(cidr))] => cidr.to_string(),
        _ => return mismatch(),
    }))
}

fn to_timestamp<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(seconds)] => {
            let time = jiff::Timestamp::from_second(*seconds);
            time.map(Value::Timestamp).map_err(|_| Error::new("timestamp overflow"))
        }
        [Value::String(text)] => match text.parse() {
            Ok(time) => Ok(Value::Timestamp(time)),
            Err(_) => Err(Error::new(format!(
                "parsing time {0:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {0:?} as \"2006\"",
                &**text
            ))),
        },
        _ => mismatch(),
    }
}

fn to_duration<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [Value::String(text)] => parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Error::new(format!("time: invalid duration {:?}", &**text))),
        _ => mismatch(),
    }
}
