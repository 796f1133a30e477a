//! How server-side apply sees a (Schema, Value): a leaf, or a container with named parts.

use serde_json::{Map, Value};

use super::path::PathElement;
use crate::schema::{Kind, Name, Schema, Struct, Topology};

/// A schema node together with what its field says about sharing it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub schema: &'a Schema,
    pub topology: &'a Topology,
}

/// What a value of a node is to its owners.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'a> {
    /// Owned whole.
    Leaf,
    /// Elements identified by their key fields; by themselves when there are none.
    List { item: Node<'a>, keys: &'a [Name] },
    /// Entries owned one by one.
    Map(Node<'a>),
    /// Fields owned one by one.
    Struct(&'a Struct),
}

static UNTYPED: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(Schema::default);

impl<'a> Node<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, topology: &schema.topology }
    }

    /// A node about which nothing is known: objects are granular, lists are atomic.
    pub(super) fn untyped() -> Node<'static> {
        Node::new(&UNTYPED)
    }

    /// What `value` is here. Untyped nodes take their shape from the value.
    pub(super) fn shape(self, value: Option<&Value>) -> Shape<'a> {
        if *self.topology == Topology::Atomic {
            return Shape::Leaf;
        }
        match &self.schema.kind {
            Kind::List(list) => match self.topology {
                Topology::Set => Shape::List { item: Node::new(&list.item), keys: &[] },
                Topology::Map(keys) => Shape::List { item: Node::new(&list.item), keys },
                _ => Shape::Leaf,
            },
            Kind::Map(map) => Shape::Map(Node::new(&map.value)),
            Kind::Struct(fields) => Shape::Struct(fields),
            _ if self.is_untyped() && value.is_some_and(Value::is_object) => Shape::Map(Node::untyped()),
            _ => Shape::Leaf,
        }
    }

    pub(super) fn is_untyped(self) -> bool {
        matches!(self.schema.kind, Kind::Any | Kind::SchemaOr(..))
    }

    /// Whether `name` is a declared field here (as opposed to a key of a map).
    pub(super) fn has_field(self, name: &str) -> bool {
        matches!(&self.schema.kind, Kind::Struct(fields) if fields.field(name).is_some())
    }

    /// The node under one step of a path.
    pub(super) fn step(self, element: &PathElement) -> Option<Self> {
        match (element, &self.schema.kind) {
            (PathElement::Field(name), Kind::Struct(fields)) => Some(field_node(fields, name)),
            (PathElement::Field(_), Kind::Map(map)) => Some(Node::new(&map.value)),
            (PathElement::Field(_), _) => Some(Node::untyped()),
            (_, Kind::List(list)) => Some(Node::new(&list.item)),
            _ => None,
        }
    }
}

/// The node of a struct's field; fields that the struct does not declare are untyped.
pub(super) fn field_node<'a>(fields: &'a Struct, name: &str) -> Node<'a> {
    match fields.field(name) {
        Some(field) => Node { schema: &field.schema, topology: field.topology() },
        None => Node::untyped(),
    }
}

/// The step that identifies a list element, or why it has none.
pub(super) fn element_of(item: Node<'_>, keys: &[Name], value: &Value) -> Result<PathElement, String> {
    if keys.is_empty() {
        return match value {
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: list of lists".to_owned()),
            scalar => Ok(PathElement::value(scalar)),
        };
    }
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut out = Map::new();
    for key in keys {
        let found = fields.get(&**key).or_else(|| default_of(item.schema, key));
        match found {
            Some(value) => out.insert(key.to_string(), value.clone()),
            None => {
                return Err(format!(
                    "associative list with keys has an element that omits key field {} (and doesn't have default value)",
                    crate::field::quote(key)
                ));
            }
        };
    }
    Ok(PathElement::key(out))
}

fn default_of<'a>(schema: &'a Schema, key: &str) -> Option<&'a Value> {
    let field = schema.as_struct()?.field(key)?;
    field.default.as_ref().or(field.schema.default.as_ref()).or_else(|| zero_key(field))
}

/// Key fields that Go always writes: absent in JSON means zero there.
fn zero_key(field: &crate::schema::Field) -> Option<&'static Value> {
    static EMPTY: Value = Value::String(String::new());
    static ZERO: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::from(0));
    if field.omitempty || field.pointer || field.schema.custom.is_some() {
        return None;
    }
    match field.schema.kind {
        Kind::String => Some(&EMPTY),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => Some(&ZERO),
        _ => None,
    }
}
