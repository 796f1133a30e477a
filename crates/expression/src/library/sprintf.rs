//! `string.format`: text with `%` verbs.

use crate::Error;
use crate::value::{List, Value};

/// Puts the list's values in place of the verbs.
pub(super) fn format(text: &str, values: &List<'_>) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut next = 0;
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(rest)?;
        let Some(verb) = after.chars().next() else {
            return Err(Error::new("unexpected end of format string"));
        };
        rest = &after[verb.len_utf8()..];
        let value = values.get(next).ok_or_else(|| Error::new(format!("index {next} out of range")))?;
        next += 1;
        write_verb(&mut out, verb, precision, &value)?;
    }
    out.push_str(rest);
    Ok(out)
}

fn precision(text: &str) -> Result<(Option<usize>, &str), Error> {
    let Some(after) = text.strip_prefix('.') else { return Ok((None, text)) };
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (number, rest) = after.split_at(digits);
    match number.parse::<usize>() {
        Ok(number) if number <= 100 => Ok((Some(number), rest)),
        _ => Err(Error::new("error while parsing precision: value out of range")),
    }
}

fn write_verb(
    out: &mut String,
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
) -> Result<(), Error> {
    let wrong = |wanted: &str| {
        Error::new(format!(
            "error during formatting: {wanted} clause can only be used on {} values",
            kinds(verb)
        ))
    };
    match verb {
        's' => plain(out, value),
        'd' => match value {
            Value::Int(n) => out.push_str(&n.to_string()),
            Value::Uint(n) => out.push_str(&n.to_string()),
            Value::Double(d) if !d.is_finite() => out.push_str(&double_text(*d)),
            _ => return Err(wrong("decimal")),
        },
        'f' => out.push_str(&format!(
            "{:.*}",
            precision.unwrap_or(6),
            float(value).ok_or_else(|| wrong("fixed-point"))?
        )),
        'e' => {
            let shown =
                format!("{:.*e}", precision.unwrap_or(6), float(value).ok_or_else(|| wrong("scientific"))?);
            // Go writes at least two digits of exponent and its sign.
            let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            out.push_str(&format!("{mantissa}e{sign}{:02}", exponent.abs()));
        }
        'b' => match value {
            Value::Int(n) => out.push_str(&radix(*n, |n| format!("{n:b}"))),
            Value::Uint(n) => out.push_str(&format!("{n:b}")),
            Value::Bool(b) => out.push(if *b { '1' } else { '0' }),
            _ => return Err(wrong("binary")),
        },
        'o' => match value {
            Value::Int(n) => out.push_str(&radix(*n, |n| format!("{n:o}"))),
            Value::Uint(n) => out.push_str(&format!("{n:o}")),
            _ => return Err(wrong("octal")),
        },
        'x' | 'X' => {
            let shown = match value {
                Value::Int(n) => radix(*n, |n| format!("{n:x}")),
                Value::Uint(n) => format!("{n:x}"),
                Value::String(text) => text.bytes().map(|b| format!("{b:02x}")).collect(),
                Value::Bytes(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
                _ => return Err(wrong("hex")),
            };
            out.push_str(&if verb == 'X' { shown.to_uppercase() } else { shown });
        }
        other => {
            return Err(Error::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    }
    Ok(())
}

fn kinds(verb: char) -> &'static str {
    match verb {
        'd' | 'o' => "integers",
        'b' => "integers and bools",
        'x' | 'X' => "integers, byte buffers, and strings",
        _ => "doubles",
    }
}

fn radix(n: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if n < 0 { "-" } else { "" };
    format!("{sign}{}", digits(n.unsigned_abs()))
}

fn float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        Value::Int(n) => Some(*n as f64),
        Value::Uint(n) => Some(*n as f64),
        _ => None,
    }
}

/// A value as `%s` shows it.
fn plain(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(&b.to_string()),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Uint(n) => out.push_str(&n.to_string()),
        Value::Double(d) => out.push_str(&double_text(*d)),
        Value::String(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Timestamp(time) => out.push_str(&time.to_string()),
        Value::Duration(nanos) => out.push_str(&super::duration_text(*nanos)),
        Value::Type(name) => out.push_str(name),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                plain(out, &item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                plain(out, &key);
                out.push_str(": ");
                plain(out, &item);
            }
            out.push('}');
        }
        Value::Optional(_) | Value::Opaque(_) => out.push_str(&value.type_name()),
    }
}

/// A float as Go's `%g` prints it, shortest form.
pub(super) fn double_text(d: f64) -> String {
    if d.is_nan() {
        return "NaN".to_owned();
    }
    if d.is_infinite() {
        return if d > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let exponent = if d == 0.0 { 0 } else { d.abs().log10().floor() as i32 };
    if !(-4..21).contains(&exponent) {
        let shown = format!("{d:e}");
        let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    d.to_string()
}
