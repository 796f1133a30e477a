//! `intstr.IntOrString`: a number, or a string that is usually a percentage.

use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString as Typed;
use serde_json::Value;

/// A number or a string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IntOrString {
    /// A plain number.
    Int(i32),
    /// A percentage such as `25%`, or a name.
    String(String),
}

/// Why a value cannot be used as a number or percentage; worded as upstream words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// A string without a percent sign.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotPercent,
    /// A percentage whose number cannot be read.
    #[error(
        "invalid value for IntOrString: invalid value \"{0}\": strconv.Atoi: parsing \"{1}\": invalid syntax"
    )]
    NotNumber(String, String),
}

impl IntOrString {
    /// From JSON; `None` when it is neither a 32-bit number nor a string.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(n) => n.as_i64().and_then(|n| i32::try_from(n).ok()).map(Self::Int),
            Value::String(text) => Some(Self::String(text.clone())),
            _ => None,
        }
    }

    /// The number itself, or that percentage of `total`, rounded up or down.
    pub fn scaled(&self, total: i64, round_up: bool) -> Result<i64, ScaleError> {
        let text = match self {
            Self::Int(n) => return Ok(i64::from(*n)),
            Self::String(text) => text,
        };
        let percent = percent_of(text)?;
        let product = i128::from(percent) * i128::from(total);
        let scaled = if round_up {
            product.div_euclid(100) + i128::from(product.rem_euclid(100) > 0)
        } else {
            product.div_euclid(100)
        };
        Ok(i64::try_from(scaled).unwrap_or(i64::MAX))
    }
}

fn percent_of(text: &str) -> Result<i64, ScaleError> {
    let number = text.strip_suffix('%').ok_or(ScaleError::NotPercent)?;
    number.parse().map_err(|_| ScaleError::NotNumber(text.to_owned(), number.to_owned()))
}

impl From<&Typed> for IntOrString {
    fn from(value: &Typed) -> Self {
        match value {
            Typed::Int(n) => Self::Int(*n),
            Typed::String(text) => Self::String(text.clone()),
        }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::String(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling() {
        let percent = |text: &str, total, up| IntOrString::String(text.into()).scaled(total, up);
        assert_eq!(IntOrString::Int(3).scaled(10, true), Ok(3));
        assert_eq!(percent("25%", 10, true), Ok(3));
        assert_eq!(percent("25%", 10, false), Ok(2));
        assert_eq!(percent("100%", 10, true), Ok(10));
        assert_eq!(percent("25", 10, true), Err(ScaleError::NotPercent));
        assert!(percent("a%", 10, true).is_err());
    }
}
