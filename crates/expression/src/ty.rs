//! Types of expressions, as the checker knows them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use api_types::schema::SchemaRef;

use crate::shape;

/// A static type.
#[derive(Clone, Debug)]
pub enum Type {
    /// Known only at run time; agrees with every type.
    Dyn,
    /// `null`
    Null,
    /// A boolean.
    Bool,
    /// A signed 64-bit number.
    Int,
    /// An unsigned 64-bit number.
    Uint,
    /// A 64-bit float.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A span of time.
    Duration,
    /// A list.
    List(Arc<Type>),
    /// A map.
    Map(Arc<(Type, Type)>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// An object with declared fields.
    Object(Object),
    /// A type of a library, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// A type as a value.
    Type(Arc<Type>),
    /// A parameter of a function's signature.
    Param(u8),
    /// A type still to be inferred while checking.
    Var(u32),
    /// Where an error was reported already; agrees with every type.
    Error,
}

/// An object type: equal to another of the same name.
#[derive(Clone, Debug)]
pub struct Object {
    name: Arc<str>,
    fields: Fields,
}

#[derive(Clone, Debug)]
enum Fields {
    /// The fields of a schema's struct.
    Schema(SchemaRef),
    /// A resource of its own: a schema's struct beside `apiVersion`, `kind` and the name in `metadata`.
    Root(SchemaRef),
    /// Spelled out.
    Declared(Arc<BTreeMap<String, Type>>),
    /// Any field of any type: what mutations write (`Object.spec`).
    Open,
}

impl Type {
    /// A list.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item))
    }

    /// A map.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// A value that may be absent.
    pub fn optional(value: Type) -> Self {
        Self::Optional(Arc::new(value))
    }

    /// An object with these fields.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (String, Type)>) -> Self {
        let fields = Arc::new(fields.into_iter().collect());
        Self::Object(Object { name: name.into(), fields: Fields::Declared(fields) })
    }

    /// An object whose fields are not declared: the types that mutations construct.
    pub fn open_object(name: &str) -> Self {
        Self::Object(Object { name: name.into(), fields: Fields::Open })
    }

    /// The type of values that a schema describes; `name` is what an object type is called in messages.
    pub fn of_schema(schema: &SchemaRef, name: &str) -> Self {
        shape::type_of(schema, name, false).unwrap_or(Self::Dyn)
    }

    /// The type of a whole custom resource, or of an embedded one: beside the schema's fields it has `apiVersion`,
    /// `kind`, `metadata.name` and `metadata.generateName`.
    pub fn of_resource(schema: &SchemaRef, name: &str) -> Self {
        shape::type_of(schema, name, true).unwrap_or(Self::Dyn)
    }

    pub(crate) fn schema_object(schema: &SchemaRef, name: &str, root: bool) -> Self {
        let fields = if root { Fields::Root(schema.clone()) } else { Fields::Schema(schema.clone()) };
        Self::Object(Object { name: name.into(), fields })
    }

    /// Whether the type says nothing.
    pub fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// Equality of the same shape; see [`crate::check`] for what may stand for what.
    pub fn same(&self, other: &Type) -> bool {
        use self::Type::{List, Map, Object, Opaque, Optional, Param, Var};
        match (self, other) {
            (List(a), List(b)) | (Optional(a), Optional(b)) | (Type::Type(a), Type::Type(b)) => a.same(b),
            (Map(a), Map(b)) => a.0.same(&b.0) && a.1.same(&b.1),
            (Object(a), Object(b)) => a.name == b.name,
            (Opaque(a), Opaque(b)) => a == b,
            (Param(a), Param(b)) => a == b,
            (Var(a), Var(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Object {
    /// Whether any field may be set.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.fields, Fields::Open)
    }

    /// What the type is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of a field as an expression spells it; `None` when there is no such field.
    pub fn field(&self, spelled: &str) -> Option<Type> {
        match &self.fields {
            Fields::Declared(fields) => fields.get(spelled).cloned(),
            Fields::Open => Some(Type::Dyn),
            Fields::Schema(schema) => shape::field_type(schema, &self.name, spelled, false),
            Fields::Root(schema) => shape::field_type(schema, &self.name, spelled, true),
        }
    }
}

impl fmt::Display for Type {
    /// As cel-go formats types in its messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(map) => write!(f, "map({}, {})", map.0, map.1),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Opaque(name) => f.write_str(name),
            Self::Type(of) => write!(f, "type({of})"),
            Self::Param(n) => write!(f, "{}", char::from(b'A' + n)),
            Self::Var(_) => f.write_str("dyn"),
            Self::Error => f.write_str("!error!"),
        }
    }
}
