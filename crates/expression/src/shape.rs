//! What a schema means to expressions: the types of its nodes, the names of its fields, and how large values may get.

use api_types::schema::{Kind, Schema, SchemaRef};
use api_types::validation::RESERVED_WORDS;
use serde_json::Value as Json;

use crate::Type;

/// The type of a schema's values, or `None` for a node that expressions cannot see.
pub(crate) fn type_of(schema: &SchemaRef, name: &str, resource: bool) -> Option<Type> {
    Some(match &schema.kind {
        Kind::Bool => Type::Bool,
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => Type::Int,
        Kind::Float32 | Kind::Float64 => Type::Double,
        Kind::String => text_type(schema),
        Kind::Bytes => Type::Bytes,
        Kind::Time | Kind::MicroTime => Type::Timestamp,
        Kind::Duration => Type::String,
        Kind::Quantity | Kind::IntOrString => Type::Dyn,
        Kind::RawExtension | Kind::FieldsV1 | Kind::SchemaOr(..) => Type::Dyn,
        Kind::Any => return any_type(schema, name, resource),
        Kind::List(list) => Type::list(type_of(&list.item, &format!("{name}.@idx"), embedded(&list.item))?),
        Kind::Map(map) => {
            Type::map(Type::String, type_of(&map.value, &format!("{name}.@elem"), embedded(&map.value))?)
        }
        Kind::Struct(_) => Type::schema_object(schema, name, resource),
    })
}

/// A custom object without properties shows no field, a custom node without a type is not visible at all; free-form
/// built-in fields are dyn.
fn any_type(schema: &SchemaRef, name: &str, resource: bool) -> Option<Type> {
    match &schema.custom {
        Some(custom) if custom.type_ == "object" => Some(Type::schema_object(schema, name, resource)),
        Some(_) => None,
        None => Some(Type::Dyn),
    }
}

fn text_type(schema: &Schema) -> Type {
    match schema.custom.as_ref().map_or("", |c| c.format.as_str()) {
        "byte" => Type::Bytes,
        "duration" => Type::Duration,
        "date" | "date-time" => Type::Timestamp,
        _ => Type::String,
    }
}

fn embedded(schema: &SchemaRef) -> bool {
    schema.as_struct().is_some_and(|s| s.embedded_resource)
}

/// The type of a field of an object schema.
pub(crate) fn field_type(schema: &SchemaRef, owner: &str, spelled: &str, resource: bool) -> Option<Type> {
    if resource {
        match spelled {
            "apiVersion" | "kind" => return Some(Type::String),
            "metadata" if schema.custom.is_some() => {
                let fields = ["name", "generateName"].map(|f| (f.to_owned(), Type::String));
                return Some(Type::object(&format!("{owner}.metadata"), fields));
            }
            _ => {}
        }
    }
    let name = unescape(spelled)?;
    let field = &schema.as_struct()?.field(&name)?.schema;
    type_of(field, &format!("{owner}.{spelled}"), embedded(field))
}

/// The field name that an expression spells, or `None` for a spelling that no name has.
pub(crate) fn unescape(spelled: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !spelled.contains("__") {
        return Some(spelled.into());
    }
    let word = spelled.strip_prefix("__").and_then(|s| s.strip_suffix("__"));
    if let Some(word) = word.filter(|w| RESERVED_WORDS.contains(w)) {
        return Some(word.to_owned().into());
    }
    const MARKS: [(&str, &str); 4] =
        [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];
    let (mut name, mut rest) = (String::with_capacity(spelled.len()), spelled);
    while let Some(at) = rest.find("__") {
        name.push_str(&rest[..at]);
        let (mark, text) = MARKS.iter().find(|(mark, _)| rest[at..].starts_with(mark))?;
        name.push_str(text);
        rest = &rest[at + mark.len()..];
    }
    name.push_str(rest);
    Some(name.into())
}

/// How an expression spells a field name, or `None` when it cannot.
pub fn escape(name: &str) -> Option<String> {
    if RESERVED_WORDS.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut chars = name.chars();
    let first = chars.next()?;
    if first.is_ascii_digit() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/".contains(c)) {
        return None;
    }
    let spelled = name.replace("__", "__underscores__");
    Some(spelled.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__"))
}

/// The largest size that a schema allows its values: characters of text, elements of a list or map. What is not
/// said follows from how large a request can be (3 MiB).
pub fn max_size(schema: &Schema) -> Option<u64> {
    const REQUEST: u64 = 3 * 1024 * 1024;
    let keyword = |key: &str| {
        let custom = schema.custom.as_ref()?;
        custom.keywords.get(key).and_then(Json::as_u64)
    };
    match &schema.kind {
        Kind::List(list) => Some(
            keyword("maxItems")
                .unwrap_or_else(|| REQUEST.saturating_sub(2) / (min_serialized(&list.item) + 1)),
        ),
        Kind::Map(map) => Some(keyword("maxProperties").unwrap_or_else(|| {
            // A key is at least two quotes and a colon.
            REQUEST.saturating_sub(2) / (min_serialized(&map.value) + 4)
        })),
        Kind::String => Some(match text_type(schema) {
            Type::Timestamp if schema.custom.as_ref().is_some_and(|c| c.format == "date") => 10,
            Type::Timestamp => 20,
            Type::Duration => REQUEST,
            _ => text_size(schema, keyword("maxLength"), REQUEST),
        }),
        Kind::Bytes => Some(keyword("maxLength").unwrap_or(REQUEST)),
        Kind::IntOrString => Some(keyword("maxLength").unwrap_or(REQUEST - 2)),
        _ => None,
    }
}

fn text_size(schema: &Schema, max_length: Option<u64>, request: u64) -> u64 {
    // A character may take four bytes; the size limit of a request counts bytes.
    let said = max_length.map(|n| n.saturating_mul(4));
    let listed = schema.custom.as_ref().and_then(|c| c.keywords.get("enum")).and_then(Json::as_array);
    let listed =
        listed.map(|values| values.iter().filter_map(Json::as_str).map(str::len).max().unwrap_or(0) as u64);
    said.or(listed).unwrap_or(request - 2)
}

/// The fewest bytes that a value takes as JSON.
fn min_serialized(schema: &Schema) -> u64 {
    match &schema.kind {
        Kind::Bool => 4,
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Float32 | Kind::Float64 => 1,
        Kind::IntOrString => 1,
        Kind::Struct(s) => {
            let required = s.fields.iter().filter(|f| f.required && f.default.is_none());
            2 + required.map(|f| f.name.len() as u64 + 3 + min_serialized(&f.schema)).sum::<u64>()
        }
        _ => 2,
    }
}
