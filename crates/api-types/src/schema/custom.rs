//! Schema nodes from a CustomResourceDefinition's `openAPIV3Schema`.

use serde_json::{Map as JsonMap, Value};

use super::{Custom, Field, Kind, List, Map, Name, Schema, SchemaRef, Struct, Topology};

/// A node that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct CustomSchemaError {
    /// Dotted path in the schema (`spec.properties.x`).
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Makes a tree from a structural OpenAPI v3 schema as JSON.
pub fn from_open_api(schema: &Value) -> Result<SchemaRef, CustomSchemaError> {
    Ok(SchemaRef::new(node(schema, "")?))
}

/// Schema for the root of a custom object: the definition's schema plus `apiVersion`, `kind` and `metadata`.
pub fn root(schema: Option<&Value>) -> Result<SchemaRef, CustomSchemaError> {
    let empty = Value::Object(JsonMap::from_iter([
        ("type".to_string(), Value::from("object")),
        ("x-kubernetes-preserve-unknown-fields".to_string(), Value::Bool(true)),
    ]));
    let mut tree = node(schema.unwrap_or(&empty), "")?;
    tree.kind = match tree.kind {
        Kind::Struct(s) => Kind::Struct(with_object_fields(s)),
        Kind::Any | Kind::Map(_) => {
            let mut s = with_object_fields(Struct::new(Vec::new(), Vec::new()));
            s.preserve_unknown = true;
            Kind::Struct(s)
        }
        other => other,
    };
    Ok(SchemaRef::new(tree))
}

/// An object that is a resource carries `apiVersion`, `kind` and a full `metadata` whatever its schema says.
fn with_object_fields(old: Struct) -> Struct {
    let Struct { fields, preserve_unknown, embedded_resource, .. } = old;
    let mut fields: Vec<Field> =
        fields.into_iter().filter(|f| !matches!(&*f.name, "apiVersion" | "kind" | "metadata")).collect();
    let text = || SchemaRef::new(Schema { kind: Kind::String, ..Schema::default() });
    let meta = super::by_type("meta/v1.ObjectMeta").unwrap_or_default();
    for (name, schema) in [("apiVersion", text()), ("kind", text()), ("metadata", meta)] {
        fields.push(Field { name: Name::Borrowed(name), schema, omitempty: true, ..Field::default() });
    }
    let mut new = Struct::new(fields, Vec::new());
    new.preserve_unknown = preserve_unknown;
    new.embedded_resource = embedded_resource;
    new
}

fn node(schema: &Value, path: &str) -> Result<Schema, CustomSchemaError> {
    let wrong = |problem: &str| CustomSchemaError { path: path.to_string(), problem: problem.to_string() };
    let object = schema.as_object().ok_or_else(|| wrong("a schema must be an object"))?;
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(false);
    let preserve = flag("x-kubernetes-preserve-unknown-fields");
    let (type_, format) = (text("type"), text("format"));
    let kind = if flag("x-kubernetes-int-or-string") {
        Kind::IntOrString
    } else {
        match type_ {
            "object" => object_kind(object, path, preserve, flag("x-kubernetes-embedded-resource"))?,
            "array" => {
                let item = match object.get("items") {
                    Some(items) => SchemaRef::new(node(items, &join(path, "items"))?),
                    None => SchemaRef::default(),
                };
                Kind::List(List { item, message: false })
            }
            "string" => Kind::String,
            "boolean" => Kind::Bool,
            "integer" if format == "int32" => Kind::Int32,
            "integer" => Kind::Int64,
            "number" => Kind::Float64,
            "" if object.contains_key("properties") => {
                object_kind(object, path, preserve, flag("x-kubernetes-embedded-resource"))?
            }
            "" => Kind::Any,
            _ => return Err(wrong("type must be object, array, string, boolean, integer or number")),
        }
    };
    let keywords: JsonMap<String, Value> = object
        .iter()
        .filter(|(k, _)| !matches!(k.as_str(), "properties" | "items" | "additionalProperties"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    Ok(Schema {
        kind,
        topology: topology(object),
        nullable: flag("nullable"),
        default: object.get("default").cloned(),
        custom: Some(Box::new(Custom {
            keywords,
            type_: type_.to_string(),
            format: format.to_string(),
            metadata: object.get("properties").and_then(|p| p.get("metadata")).cloned(),
        })),
        ..Schema::default()
    })
}

fn object_kind(
    object: &JsonMap<String, Value>,
    path: &str,
    preserve: bool,
    embedded: bool,
) -> Result<Kind, CustomSchemaError> {
    match object.get("additionalProperties") {
        Some(Value::Bool(true)) => return Ok(Kind::Map(Map { value: SchemaRef::default() })),
        Some(values @ Value::Object(_)) => {
            let value = SchemaRef::new(node(values, &join(path, "additionalProperties"))?);
            return Ok(Kind::Map(Map { value }));
        }
        _ => {}
    }
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut fields = Vec::new();
    for (name, child) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let child_path = join(&join(path, "properties"), name);
        fields.push(Field {
            name: Name::Owned(name.clone()),
            schema: SchemaRef::new(node(child, &child_path)?),
            required: required.contains(&name.as_str()),
            pointer: true,
            omitempty: true,
            ..Field::default()
        });
    }
    let mut result = Struct::new(fields, Vec::new());
    result.preserve_unknown = preserve;
    if embedded {
        result = with_object_fields(result);
        result.embedded_resource = true;
    }
    Ok(Kind::Struct(result))
}

fn topology(object: &JsonMap<String, Value>) -> Topology {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    match (text("x-kubernetes-list-type"), text("x-kubernetes-map-type")) {
        ("atomic", _) | (_, "atomic") => Topology::Atomic,
        ("set", _) => Topology::Set,
        ("map", _) => {
            let keys = object.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            Topology::Map(
                keys.into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|k| Name::Owned(k.to_string()))
                    .collect(),
            )
        }
        (_, "granular") => Topology::Granular,
        _ => Topology::Unset,
    }
}

fn join(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_string() } else { format!("{path}.{step}") }
}
