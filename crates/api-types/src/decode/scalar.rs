//! Leaves: the JSON value of a scalar, checked against its type and put in the text that Go prints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::codec::scalar::{
    ZERO_TIME, format_duration, format_micro_time, format_time, parse_duration, parse_time,
};
use crate::quantity::Quantity;
use crate::schema::{Kind, Schema, SchemaOr};

/// Why a leaf cannot be read.
pub(super) enum LeafError {
    /// Another JSON type than the field has: what was found. The decoder notes it and reads on.
    Type(String),
    /// The type's own parser refuses with a type error; the decoder stops.
    Parser(String, &'static str),
    /// The type's own parser refuses in its own words; the decoder stops.
    Words(String),
    /// Malformed base64, which does not stop the decoder. The position of the first bad byte.
    Base64(usize),
}

/// Checks a leaf. The value is not `null`.
pub(super) fn leaf(schema: &Schema, value: Value) -> Result<Value, LeafError> {
    match (&schema.kind, value) {
        (Kind::String, value @ Value::String(_)) | (Kind::Bool, value @ Value::Bool(_)) => Ok(value),
        (Kind::Int32, value) => integer(value, i64::from(i32::MIN), i64::from(i32::MAX)),
        (Kind::Int64, value) => integer(value, i64::MIN, i64::MAX),
        (Kind::Uint32, value) => integer(value, 0, i64::from(u32::MAX)),
        (Kind::Uint64, Value::Number(number)) if number.is_u64() => Ok(Value::Number(number)),
        (Kind::Float32 | Kind::Float64, value @ Value::Number(_)) => Ok(float(value)),
        (Kind::Bytes, Value::String(text)) => bytes(text),
        (Kind::Time, value) => time(value, false),
        (Kind::MicroTime, value) => time(value, true),
        (Kind::Duration, Value::String(text)) => match parse_duration(&text) {
            Some(nanos) => Ok(Value::String(format_duration(nanos))),
            None => Err(LeafError::Words(duration_error(&text))),
        },
        (Kind::Duration, other) => Err(LeafError::Parser(found(&other), "string")),
        (Kind::Quantity, value) => quantity(value),
        (Kind::IntOrString, value @ Value::String(_)) => Ok(value),
        (Kind::IntOrString, value) => {
            integer(value, i64::from(i32::MIN), i64::from(i32::MAX)).map_err(|e| match e {
                LeafError::Type(found) => LeafError::Parser(found, "int32"),
                other => other,
            })
        }
        (_, other) => Err(LeafError::Type(found(&other))),
    }
}

/// Checks the other form of apiextensions' schema-or-something types.
pub(super) fn schema_or(other: SchemaOr, value: Value) -> Result<Value, LeafError> {
    match (other, &value) {
        (SchemaOr::Bool, Value::Bool(_)) | (SchemaOr::Schemas | SchemaOr::Strings, Value::Array(_)) => {
            Ok(value)
        }
        (SchemaOr::Bool, _) => Err(LeafError::Words("boolean or JSON schema expected".into())),
        _ => Ok(Value::Null),
    }
}

/// Go's word for a JSON value.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
    .to_string()
}

fn integer(value: Value, min: i64, max: i64) -> Result<Value, LeafError> {
    match &value {
        Value::Number(number) => match number.as_i64() {
            Some(n) if (min..=max).contains(&n) => Ok(value),
            _ => Err(LeafError::Type(format!("number {number}"))),
        },
        other => Err(LeafError::Type(found(other))),
    }
}

/// Go prints whole floats without a fraction.
fn float(value: Value) -> Value {
    match value.as_f64() {
        Some(f) if value.is_f64() && f.fract() == 0.0 && f.abs() < 1e15 => Value::from(f as i64),
        _ => value,
    }
}

fn bytes(text: String) -> Result<Value, LeafError> {
    match STANDARD.decode(&text) {
        Ok(_) => Ok(Value::String(text)),
        // Go's decoder passes over line ends.
        Err(_) if text.contains(['\r', '\n']) => bytes(text.replace(['\r', '\n'], "")),
        Err(_) => Err(LeafError::Base64(first_bad_base64(text.as_bytes()))),
    }
}

/// Where Go's base64 decoder gives up.
fn first_bad_base64(text: &[u8]) -> usize {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    let digits = text.iter().take_while(|b| is_digit(**b)).count();
    let padding = text[digits..].iter().take_while(|b| **b == b'=').count();
    match (digits % 4, padding) {
        // Padding where none may be, or a stray byte.
        (0 | 1, _) if digits < text.len() => digits,
        (_, 0) if digits < text.len() => digits,
        // The text ends inside a group: Go reports where the group began.
        (rest, 0) => digits - rest,
        (2, 1) => text.len().min(digits + 1),
        (rest, _) => digits + (4 - rest),
    }
}

fn time(value: Value, micro: bool) -> Result<Value, LeafError> {
    let Value::String(text) = value else {
        return Err(LeafError::Parser(found(&value), "string"));
    };
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    match parse_time(&text) {
        Some((ZERO_TIME, 0)) => Ok(Value::Null),
        Some((seconds, _)) if !micro => Ok(Value::String(format_time(seconds))),
        Some((seconds, nanos)) if has_micros(&text) => Ok(Value::String(format_micro_time(seconds, nanos))),
        _ => Err(LeafError::Words(time_error(&text, layout))),
    }
}

/// The layout of `MicroTime` wants exactly six fractional digits.
fn has_micros(text: &str) -> bool {
    text.as_bytes().get(19) == Some(&b'.') && text[20..].bytes().take_while(u8::is_ascii_digit).count() == 6
}

/// Go's `time.ParseError`: which element of the layout could not be read, and the rest of the text there.
fn time_error(text: &str, layout: &str) -> String {
    let elements = [
        (4, "2006"),
        (1, "-"),
        (2, "01"),
        (1, "-"),
        (2, "02"),
        (1, "T"),
        (2, "15"),
        (1, ":"),
        (2, "04"),
        (1, ":"),
        (2, "05"),
    ];
    let bytes = text.as_bytes();
    let (mut at, ranges) = (
        0,
        [
            ("01", 1, 12, "month"),
            ("02", 1, 31, "day"),
            ("15", 0, 23, "hour"),
            ("04", 0, 59, "minute"),
            ("05", 0, 59, "second"),
        ],
    );
    let fail = |rest: &str, element: &str| {
        format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")
    };
    for (len, element) in elements {
        let piece = bytes.get(at..at + len);
        let fits = piece.is_some_and(|p| {
            if element.len() == 1 { p == element.as_bytes() } else { p.iter().all(u8::is_ascii_digit) }
        });
        if !fits {
            return fail(text.get(at..).unwrap_or_default(), element);
        }
        let number = text.get(at..at + len).and_then(|t| t.parse::<u32>().ok()).unwrap_or_default();
        if let Some((_, low, high, name)) = ranges.iter().find(|(e, ..)| *e == element)
            && !(*low..=*high).contains(&number)
        {
            return format!("parsing time {text:?}: {name} out of range");
        }
        at += len;
    }
    let rest = text.get(at..).unwrap_or_default();
    if layout.contains(".000000") && !has_micros(text) {
        return fail(rest, ".000000");
    }
    let zone = rest.trim_start_matches(|c: char| c == '.' || c == ',' || c.is_ascii_digit());
    match zone.strip_prefix('Z') {
        Some("") => format!("parsing time {text:?}: day out of range"),
        Some(extra) => format!("parsing time {text:?}: extra text: {extra:?}"),
        None => fail(zone, "Z07:00"),
    }
}

fn duration_error(text: &str) -> String {
    let number = text.trim_start_matches(['-', '+']);
    let unit = number.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !number.is_empty() && unit.is_empty() {
        return format!("time: missing unit in duration {text:?}");
    }
    if unit.len() < number.len() && !unit.starts_with(['n', 'u', 'm', 's', 'h', 'µ', 'μ']) {
        let unit: String = unit.chars().take_while(|c| !c.is_ascii_digit() && *c != '.').collect();
        return format!("time: unknown unit {unit:?} in duration {text:?}");
    }
    format!("time: invalid duration {text:?}")
}

fn quantity(value: Value) -> Result<Value, LeafError> {
    let wrong = || {
        LeafError::Words(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                .into(),
        )
    };
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return Err(wrong()),
    };
    let text = match text.trim() {
        same if same.len() == text.len() => text,
        trimmed => trimmed.to_string(),
    };
    if is_canonical_quantity(&text) {
        return Ok(Value::String(text));
    }
    match Quantity::parse(&text) {
        Ok(quantity) => Ok(Value::String(quantity.to_string())),
        Err(error) => Err(LeafError::Words(error.to_string())),
    }
}

/// Most quantities are written in canonical form already: a whole number that does not end in `000`, with `m`, `k`, `M`, `G`
/// or nothing behind it, or one under 1024 with a binary suffix.
fn is_canonical_quantity(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    if digits == 0 || digits > 12 || (number.starts_with('0') && text != "0") {
        return false;
    }
    match suffix {
        "" | "m" | "k" | "M" | "G" => !number.ends_with("000"),
        "Ki" | "Mi" | "Gi" | "Ti" => number.parse::<u64>().is_ok_and(|n| n % 1024 != 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_errors_name_gos_position() {
        for (text, at) in
            [("!!!", 0), ("abc", 0), ("not base64", 3), ("YWJj$", 4), ("YWJjZA=", 7), ("YQ===", 4)]
        {
            assert_eq!(first_bad_base64(text.as_bytes()), at, "{text}");
        }
    }

    #[test]
    fn time_errors_name_the_element() {
        let layout = "2006-01-02T15:04:05Z07:00";
        for (text, message) in [
            ("soon", r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#),
            ("2020-13-01T00:00:00Z", r#"parsing time "2020-13-01T00:00:00Z": month out of range"#),
            (
                "2020-01-01",
                r#"parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
            ),
            (
                "2020-01-01T00:00:00",
                r#"parsing time "2020-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
        ] {
            assert_eq!(time_error(text, layout), message);
        }
    }
}
