//! Between JSON and values.

use api_types::schema::{Kind, SchemaRef};
use base64::Engine as _;
use serde_json::{Map as JsonMap, Value as Json};

use super::{Key, List, Map, Text, Value};
use crate::shape;

impl<'a> Value<'a> {
    /// A JSON value as it is: numbers are ints where they can be, text is text.
    pub fn from_json(json: &'a Json) -> Self {
        read(json, None)
    }

    /// A JSON value as its schema means it: times, durations and bytes in text become such values, whole numbers of
    /// a float field floats, and names are spelled as expressions spell them.
    pub fn with_schema(json: &'a Json, schema: &SchemaRef) -> Self {
        read(json, Some(schema))
    }

    /// The value as JSON. `None` for what JSON cannot say: types, optionals without a value, library values.
    pub fn to_json(&self) -> Option<Json> {
        Some(match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(n) => Json::from(*n),
            Self::Uint(n) => Json::from(*n),
            Self::Double(d) => Json::from(*d),
            Self::String(text) => Json::from(&**text),
            Self::Bytes(bytes) => Json::from(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Self::Timestamp(time) => Json::from(time.to_string()),
            Self::Duration(nanos) => Json::from(crate::library::duration_text(*nanos)),
            Self::List(List::Json(items, _)) => Json::Array(items.to_vec()),
            Self::List(List::Made(items)) => {
                Json::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?)
            }
            Self::Map(Map::Json(map, _)) => Json::Object((*map).clone()),
            Self::Map(Map::Made(map) | Map::Struct(_, map)) => Json::Object(entries(map.iter())?),
            Self::Map(Map::Lazy(_)) | Self::Type(_) | Self::Opaque(_) | Self::Optional(None) => return None,
            Self::Optional(Some(value)) => value.to_json()?,
        })
    }
}

fn entries<'v, 'a: 'v>(map: impl Iterator<Item = (&'v Key, &'v Value<'a>)>) -> Option<JsonMap<String, Json>> {
    map.map(|(key, value)| {
        let key = match key {
            Key::String(text) => text.to_string(),
            Key::Bool(b) => b.to_string(),
            Key::Number(n) => n.to_string(),
        };
        Some((key, value.to_json()?))
    })
    .collect()
}

fn read<'a>(json: &'a Json, schema: Option<&SchemaRef>) -> Value<'a> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => number(n, schema),
        Json::String(text) => string(text, schema),
        Json::Array(items) => Value::List(List::Json(items, schema.cloned())),
        Json::Object(map) => Value::Map(Map::Json(map, schema.cloned())),
    }
}

fn number<'a>(n: &serde_json::Number, schema: Option<&SchemaRef>) -> Value<'a> {
    let float = schema.is_some_and(|s| matches!(s.kind, Kind::Float32 | Kind::Float64));
    match n.as_i64() {
        Some(n) if float => Value::Double(n as f64),
        Some(n) => Value::Int(n),
        None => Value::Double(n.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Text that its schema gives another meaning; what cannot be read so stays text, for the schema's own validation
/// refuses it.
fn string<'a>(text: &'a str, schema: Option<&SchemaRef>) -> Value<'a> {
    let plain = Value::String(Text::Borrowed(text));
    let Some(schema) = schema else { return plain };
    let format = match &schema.kind {
        Kind::String => schema.custom.as_ref().map_or("", |c| c.format.as_str()),
        Kind::Bytes => "byte",
        Kind::Time | Kind::MicroTime => "date-time",
        _ => "",
    };
    match format {
        "byte" => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => Value::Bytes(bytes.into()),
            Err(_) => plain,
        },
        "duration" => crate::library::parse_duration(text).map_or(plain, Value::Duration),
        "date-time" => text.parse().map_or(plain, Value::Timestamp),
        "date" => match text.parse::<jiff::civil::Date>().map(|d| d.to_zoned(jiff::tz::TimeZone::UTC)) {
            Ok(Ok(day)) => Value::Timestamp(day.timestamp()),
            _ => plain,
        },
        _ => plain,
    }
}

/// An element of a list with this schema.
pub(super) fn item<'a>(json: &'a Json, list: Option<&SchemaRef>) -> Value<'a> {
    read(json, list.and_then(|schema| schema.item()))
}

/// The value that an expression's spelling of a key names.
pub(super) fn entry<'a>(
    map: &'a JsonMap<String, Json>,
    schema: Option<&SchemaRef>,
    spelled: &str,
) -> Option<Value<'a>> {
    match schema.and_then(|s| s.as_struct()) {
        Some(_) => entry_exact(map, schema, &shape::unescape(spelled)?),
        None => entry_exact(map, schema, spelled),
    }
}

/// The value under a key as it is.
pub(super) fn entry_exact<'a>(
    map: &'a JsonMap<String, Json>,
    schema: Option<&SchemaRef>,
    key: &str,
) -> Option<Value<'a>> {
    let json = map.get(key)?;
    Some(read(json, schema.and_then(|s| s.child(key))))
}
