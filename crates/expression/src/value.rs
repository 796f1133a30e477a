//! Values at run time. JSON is looked at where it lies: a value made from it borrows, whatever its size.

mod compare;
mod json;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use api_types::schema::SchemaRef;
use serde_json::{Map as JsonMap, Value as Json};

use crate::library::Opaque;
use crate::{Error, Meter};

pub(crate) use compare::{compare, equal};

/// A value; `'a` is how long the JSON lives that it looks at.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A float.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A point in time.
    Timestamp(jiff::Timestamp),
    /// A span of time, in nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// A map, or an object.
    Map(Map<'a>),
    /// A value that may be absent.
    Optional(Option<Arc<Value<'a>>>),
    /// A type, by its name.
    Type(Arc<str>),
    /// A value of a library.
    Opaque(Opaque<'a>),
}

/// Text, borrowed or shared; cheap to clone.
#[derive(Clone)]
pub enum Text<'a> {
    /// A slice of the JSON.
    Borrowed(&'a str),
    /// Made by the expression.
    Shared(Arc<str>),
}

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// A JSON array, read as the schema of the list says.
    Json(&'a [Json], Option<SchemaRef>),
    /// Made by the expression.
    Made(Arc<Vec<Value<'a>>>),
}

/// A map or an object.
#[derive(Clone)]
pub enum Map<'a> {
    /// A JSON object, read as its schema says.
    Json(&'a JsonMap<String, Json>, Option<SchemaRef>),
    /// Made by the expression.
    Made(Arc<BTreeMap<Key, Value<'a>>>),
    /// An object of a declared type, made by the expression.
    Struct(Arc<str>, Arc<BTreeMap<Key, Value<'a>>>),
    /// Fields that are computed when they are asked for.
    Lazy(&'a dyn Fields<'a>),
}

/// The key of a map. Numbers are equal whether signed or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(i128),
    /// Text.
    String(Arc<str>),
}

/// An object whose fields are computed on demand, such as the `variables` of an admission policy.
pub trait Fields<'a>: Send + Sync {
    /// The value of a field, `None` when there is no such field. What computing it costs is charged to `meter`.
    ///
    /// # Errors
    /// What computing it came to.
    fn field(&'a self, name: &str, meter: &mut Meter) -> Option<Result<Value<'a>, Error>>;
}

impl<'a> Value<'a> {
    /// Text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A list made of values.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(List::Made(Arc::new(items)))
    }

    /// A map with text keys.
    pub fn object(entries: impl IntoIterator<Item = (&'static str, Value<'a>)>) -> Self {
        let entries = entries.into_iter().map(|(k, v)| (Key::String(k.into()), v)).collect();
        Self::Map(Map::Made(Arc::new(entries)))
    }

    pub(crate) fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The name of the value's type.
    pub fn type_name(&self) -> Arc<str> {
        match self {
            Self::Null => "null_type".into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_) => "int".into(),
            Self::Uint(_) => "uint".into(),
            Self::Double(_) => "double".into(),
            Self::String(_) => "string".into(),
            Self::Bytes(_) => "bytes".into(),
            Self::Timestamp(_) => "google.protobuf.Timestamp".into(),
            Self::Duration(_) => "google.protobuf.Duration".into(),
            Self::List(_) => "list".into(),
            Self::Map(Map::Struct(name, _)) => name.clone(),
            Self::Map(_) => "map".into(),
            Self::Optional(_) => "optional_type".into(),
            Self::Type(_) => "type".into(),
            Self::Opaque(opaque) => opaque.type_name().into(),
        }
    }

    /// How much there is to look at: characters, elements, entries; 1 for scalars.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(value)) => value.size(),
            Self::Opaque(opaque) => opaque.size(),
            _ => 1,
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(map, _) => map.fmt(f),
            Self::Made(map) | Self::Struct(_, map) => map.fmt(f),
            Self::Lazy(_) => f.write_str("Lazy"),
        }
    }
}

impl<'a> List<'a> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items, _) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items, schema) => items.get(index).map(|item| json::item(item, schema.as_ref())),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        match self {
            Self::Json(_, schema) => schema.as_ref(),
            Self::Made(_) => None,
        }
    }
}

impl<'a> Map<'a> {
    /// How many entries there are; 0 for computed ones.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(map, _) => map.len(),
            Self::Made(map) | Self::Struct(_, map) => map.len(),
            Self::Lazy(_) => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a key. Computed fields are not found here; see [`Fields`].
    pub fn get(&self, key: &Key) -> Option<Value<'a>> {
        match self {
            Self::Json(map, schema) => match key {
                Key::String(key) => json::entry(map, schema.as_ref(), key),
                _ => None,
            },
            Self::Made(map) | Self::Struct(_, map) => map.get(key).cloned(),
            Self::Lazy(_) => None,
        }
    }

    /// The value of a field or under a text key, without making a key of it for JSON.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(map, schema) => json::entry(map, schema.as_ref(), name),
            _ => self.get(&Key::String(name.into())),
        }
    }

    /// All entries in order of their keys.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (Value<'a>, Value<'a>)> + '_> {
        match self {
            Self::Json(map, schema) => Box::new(map.iter().filter_map(move |(key, _)| {
                let value = json::entry_exact(map, schema.as_ref(), key)?;
                Some((Value::String(Text::Borrowed(key)), value))
            })),
            Self::Made(map) | Self::Struct(_, map) => {
                Box::new(map.iter().map(|(key, value)| (key.to_value(), value.clone())))
            }
            Self::Lazy(_) => Box::new(std::iter::empty()),
        }
    }
}

impl Key {
    /// The key that a value is, if it can be one.
    pub fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(n) => Self::Number(i128::from(*n)),
            Value::Uint(n) => Self::Number(i128::from(*n)),
            Value::Double(d) if d.fract() == 0.0 && d.abs() < 9.2e18 => Self::Number(*d as i128),
            Value::String(text) => Self::String(Arc::from(&**text)),
            _ => return None,
        })
    }

    fn to_value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Number(n) => match i64::try_from(*n) {
                Ok(n) => Value::Int(n),
                Err(_) => Value::Uint(u64::try_from(*n).unwrap_or(u64::MAX)),
            },
            Self::String(text) => Value::String(Text::Shared(text.clone())),
        }
    }
}
