use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::field::quote;

/// One step of a field path, ordered so that a [`super::Set`] is canonical.
///
/// Keys and values are kept as their canonical JSON text: equal steps have equal text, and the text is what
/// `fieldsV1` carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathElement {
    /// `f:name`: a struct field or map key.
    Field(Box<str>),
    /// `k:{"name":"a"}`: the element of an associative list with these key fields.
    Key(Box<str>),
    /// `v:"x"`: this element of a set.
    Value(Box<str>),
    /// `i:3`: a position in a list.
    Index(u64),
}

impl PathElement {
    /// A struct field or map key.
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// An element of an associative list.
    pub fn key(fields: Map<String, Value>) -> Self {
        Self::Key(Value::Object(fields).to_string().into())
    }

    /// An element of a set.
    pub fn value(value: &Value) -> Self {
        Self::Value(value.to_string().into())
    }

    /// Reads the `fieldsV1` form; `None` when it is none of the known ones.
    pub fn parse(text: &str) -> Option<Self> {
        let (tag, rest) = text.split_at_checked(2)?;
        let json = || serde_json::from_str::<Value>(rest).ok();
        match tag {
            "f:" => Some(Self::field(rest)),
            "k:" => match json()? {
                Value::Object(fields) => Some(Self::key(fields)),
                _ => None,
            },
            "v:" => Some(Self::value(&json()?)),
            "i:" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    /// The `fieldsV1` form.
    pub fn encoded(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(json) => format!("k:{json}"),
            Self::Value(json) => format!("v:{json}"),
            Self::Index(i) => format!("i:{i}"),
        }
    }

    fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _infallible = match self {
            Self::Field(name) => write!(out, ".{name}"),
            Self::Key(json) => match serde_json::from_str::<Map<String, Value>>(json) {
                Ok(fields) => {
                    let parts: Vec<String> =
                        fields.iter().map(|(k, v)| format!("{k}={}", value_text(v))).collect();
                    write!(out, "[{}]", parts.join(","))
                }
                Err(_) => write!(out, "[{json}]"),
            },
            Self::Value(json) => {
                let text =
                    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_string(), |v| value_text(&v));
                write!(out, "[={text}]")
            }
            Self::Index(i) => write!(out, "[{i}]"),
        };
    }
}

/// A path as messages show it: `.spec.containers[name="a"].image`.
pub fn path_text(path: &[PathElement]) -> String {
    let mut out = String::new();
    for element in path {
        element.write(&mut out);
    }
    out
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}
