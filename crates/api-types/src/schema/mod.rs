//! One tree that describes a type, whether it is built in or comes from a CustomResourceDefinition.
//!
//! Everything generic walks (Schema, `serde_json::Value`): decoding, unknown fields, defaults, strategic merge, server-side
//! apply, protobuf, OpenAPI. A [`SchemaRef`] is a cheap handle: a number for a built-in type (its node is made from the
//! embedded table when it is first looked at, so types nobody uses cost nothing, and recursion is a number again), a shared
//! pointer for a node that a CRD made. The root of a custom type is made when it is first looked at, too: of thousands of
//! definitions few are in use.

mod custom;
pub(crate) mod emit;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde_json::{Map as JsonMap, Value};

pub use custom::{CustomSchemaError, from_open_api, root as custom_root};
pub use table::{by_gvk, by_type, gvk_of, kinds, open_api_name, type_names};

/// A name that is a slice of the embedded table for built-in types and owned for custom ones.
pub type Name = Cow<'static, str>;

/// A handle to a [`Schema`] node; `Deref`s to it.
#[derive(Clone)]
pub struct SchemaRef(Repr);

#[derive(Clone)]
enum Repr {
    Builtin(u32),
    Shared(Arc<Schema>),
    Deferred(Arc<Deferred>),
}

/// A node that is made when it is first looked at.
struct Deferred {
    made: OnceLock<SchemaRef>,
    make: Box<dyn Fn() -> SchemaRef + Send + Sync>,
}

impl SchemaRef {
    /// Shares a node made at run time.
    pub fn new(schema: Schema) -> Self {
        Self(Repr::Shared(Arc::new(schema)))
    }

    /// A node that `make` gives when it is first looked at.
    pub fn deferred(make: impl Fn() -> SchemaRef + Send + Sync + 'static) -> Self {
        Self(Repr::Deferred(Arc::new(Deferred { made: OnceLock::new(), make: Box::new(make) })))
    }

    fn builtin(index: u32) -> Self {
        Self(Repr::Builtin(index))
    }
}

impl Deref for SchemaRef {
    type Target = Schema;

    fn deref(&self) -> &Schema {
        match &self.0 {
            Repr::Builtin(index) => table::node(*index),
            Repr::Shared(schema) => schema,
            Repr::Deferred(deferred) => deferred.made.get_or_init(|| (deferred.make)()),
        }
    }
}

impl fmt::Debug for SchemaRef {
    /// Names the type only: types are recursive.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaRef({})", self.type_name)
    }
}

/// A node of the tree.
#[derive(Debug, Default)]
pub struct Schema {
    /// `core/v1.Pod` for a named built-in type, empty for anonymous nodes and custom types.
    pub type_name: Name,
    /// What values look like.
    pub kind: Kind,
    /// How owners share a list, map or struct (`x-kubernetes-list-type`, `-map-type`, `-list-map-keys`).
    pub topology: Topology,
    /// `null` is a value of its own (custom types only; built-in types read `null` as absent).
    pub nullable: bool,
    /// `default` of a CustomResourceDefinition's node; built-in defaults are in [`Field::default`] and `crate::default`.
    pub default: Option<Value>,
    /// Values that a built-in string type names; empty when it is open.
    pub enum_values: Vec<&'static str>,
    /// What a CustomResourceDefinition says beyond the shape.
    pub custom: Option<Box<Custom>>,
}

/// What values of a node look like in JSON, and so in protobuf.
#[derive(Debug, Default)]
pub enum Kind {
    /// Any JSON value, kept as it is. In protobuf a message whose field 1 holds the JSON text (apiextensions' `JSON`).
    #[default]
    Any,
    /// A boolean.
    Bool,
    /// A signed 32-bit number.
    Int32,
    /// A signed 64-bit number.
    Int64,
    /// An unsigned 32-bit number.
    Uint32,
    /// An unsigned 64-bit number.
    Uint64,
    /// A 32-bit float.
    Float32,
    /// A 64-bit float.
    Float64,
    /// Text.
    String,
    /// Bytes, standard base64 in JSON.
    Bytes,
    /// RFC 3339 time, seconds.
    Time,
    /// RFC 3339 time, microseconds.
    MicroTime,
    /// Go duration text, nanoseconds in protobuf.
    Duration,
    /// `resource.Quantity`.
    Quantity,
    /// A 32-bit number or a string.
    IntOrString,
    /// Any object with its own `apiVersion` and `kind`; raw bytes in protobuf.
    RawExtension,
    /// `metadata.managedFields[].fieldsV1`: raw JSON.
    FieldsV1,
    /// apiextensions' `JSONSchemaPropsOr…`: a schema object, or the other form.
    SchemaOr(SchemaRef, SchemaOr),
    /// A list.
    List(List),
    /// A map from strings.
    Map(Map),
    /// An object with known fields.
    Struct(Struct),
}

/// The other form of apiextensions' `JSONSchemaPropsOr…` types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOr {
    /// A list of schemas.
    Schemas,
    /// A boolean.
    Bool,
    /// A list of strings.
    Strings,
}

/// How several owners share a list, map or struct.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Topology {
    /// Not said: lists are atomic, maps and structs are granular.
    #[default]
    Unset,
    /// Owned and replaced whole.
    Atomic,
    /// Struct or map merged field by field, said explicitly.
    Granular,
    /// List of scalars without duplicates.
    Set,
    /// List of objects identified by these fields.
    Map(Vec<Name>),
}

/// A list node.
#[derive(Debug)]
pub struct List {
    /// Element type.
    pub item: SchemaRef,
    /// In protobuf a message of its own with `items` as field 1 (`ExtraValue`, `Verbs`).
    pub message: bool,
}

/// A map node; keys are strings.
#[derive(Debug)]
pub struct Map {
    /// Value type.
    pub value: SchemaRef,
}

/// A struct node. JSON-inlined structs are flattened into `fields`; `wire` keeps the nesting that protobuf has.
#[derive(Debug, Default)]
pub struct Struct {
    /// JSON fields in declaration order.
    pub fields: Vec<Field>,
    /// Indexes into `fields`, sorted by JSON name.
    by_name: Vec<u16>,
    /// Indexes of the fields that Go prints although nobody set them.
    always: Vec<u16>,
    /// Protobuf fields in ascending number.
    pub wire: Vec<WireField>,
    /// Unknown fields are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// The object is a resource of its own (`x-kubernetes-embedded-resource`).
    pub embedded_resource: bool,
}

/// A field of a struct.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// JSON name.
    pub name: Name,
    /// Its type.
    pub schema: SchemaRef,
    /// Must be present.
    pub required: bool,
    /// Left out of JSON when empty (Go's `omitempty`).
    pub omitempty: bool,
    /// Left out of JSON when zero, structs included (Go's `omitzero`).
    pub omitzero: bool,
    /// Absent differs from zero.
    pub pointer: bool,
    /// Protobuf field number in the struct that declares it; 0 when protobuf does not carry it.
    pub number: u32,
    /// Value from a `+default` marker.
    pub default: Option<Value>,
    /// Strategic merge: `merge`.
    pub patch_merge: bool,
    /// Strategic merge: `retainKeys`.
    pub patch_retain_keys: bool,
    /// Strategic merge: `replace`, said explicitly.
    pub patch_replace: bool,
    /// Strategic merge: key of list elements.
    pub patch_merge_key: Option<Name>,
    /// Topology said at the field; see [`Field::topology`].
    pub own_topology: Topology,
    /// Feature gates that the field belongs to.
    pub gates: Vec<Name>,
    /// The field selects among its siblings (`+unionDiscriminator`).
    pub union_discriminator: bool,
    /// The Go struct that declares it, when it was inlined from another type.
    pub inlined_from: Option<Name>,
}

/// A field on the wire.
#[derive(Debug)]
pub struct WireField {
    /// Field number.
    pub number: u32,
    /// What it carries.
    pub target: WireTarget,
}

/// What a protobuf field of a struct carries.
#[derive(Debug)]
pub enum WireTarget {
    /// `fields[i]`.
    Field(u16),
    /// A struct that JSON inlines: its JSON fields are siblings of ours.
    Inline(SchemaRef),
}

/// What a CustomResourceDefinition's node says beyond its shape.
#[derive(Debug, Default)]
pub struct Custom {
    /// The node itself without `properties`, `items` and `additionalProperties`: value validation, description, format,
    /// `x-kubernetes-validations`, as written.
    pub keywords: JsonMap<String, Value>,
    /// `type` as written (`object`, `integer`, …), empty when absent.
    pub type_: String,
    /// `format` as written.
    pub format: String,
    /// What the schema says about `metadata` of an object that is a resource: its type is built in, and its values are
    /// restricted by this besides.
    pub metadata: Option<Value>,
}

impl Default for SchemaRef {
    fn default() -> Self {
        table::any()
    }
}

impl Schema {
    /// The struct node, if it is one.
    pub fn as_struct(&self) -> Option<&Struct> {
        match &self.kind {
            Kind::Struct(s) => Some(s),
            _ => None,
        }
    }

    /// The element type of a list.
    pub fn item(&self) -> Option<&SchemaRef> {
        match &self.kind {
            Kind::List(l) => Some(&l.item),
            _ => None,
        }
    }

    /// The value type of a map.
    pub fn map_value(&self) -> Option<&SchemaRef> {
        match &self.kind {
            Kind::Map(m) => Some(&m.value),
            _ => None,
        }
    }

    /// The child under a JSON key: a struct's field or a map's value.
    pub fn child(&self, key: &str) -> Option<&SchemaRef> {
        match &self.kind {
            Kind::Struct(s) => s.field(key).map(|f| &f.schema),
            Kind::Map(m) => Some(&m.value),
            _ => None,
        }
    }

    /// The node at a dotted path of field names and map keys (`spec.template`), lists passed through.
    pub fn at(&self, path: &str) -> Option<SchemaRef> {
        let mut current: Option<SchemaRef> = None;
        for step in path.split('.').filter(|s| !s.is_empty()) {
            let next = {
                let mut node: &Schema = current.as_deref().unwrap_or(self);
                while let Kind::List(l) = &node.kind {
                    node = &l.item;
                }
                node.child(step)?.clone()
            };
            current = Some(next);
        }
        current
    }

    /// Whether values have no children that a schema describes and are not free-form either.
    pub fn is_scalar(&self) -> bool {
        !matches!(self.kind, Kind::List(_) | Kind::Map(_) | Kind::Struct(_) | Kind::Any)
    }
}

impl Struct {
    /// A struct from its JSON fields; builds the name index.
    pub fn new(fields: Vec<Field>, wire: Vec<WireField>) -> Self {
        let mut by_name: Vec<u16> = (0..fields.len() as u16).collect();
        by_name.sort_by(|a, b| fields[*a as usize].name.cmp(&fields[*b as usize].name));
        let always =
            (0..fields.len() as u16).filter(|i| emit::always_printed(&fields[usize::from(*i)])).collect();
        Self { fields, by_name, always, wire, preserve_unknown: false, embedded_resource: false }
    }

    /// The field of a JSON name. Binary search, no allocation.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.field_index(name).map(|i| &self.fields[i])
    }

    /// Position in `fields` of a JSON name.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.by_name
            .binary_search_by(|i| (*self.fields[*i as usize].name).cmp(name))
            .ok()
            .map(|position| self.by_name[position] as usize)
    }

    /// Fields in order of their JSON names.
    pub fn sorted(&self) -> impl Iterator<Item = &Field> {
        self.by_name.iter().map(|i| &self.fields[*i as usize])
    }
}

impl Field {
    /// How owners share the value: what the field says, else what its type says.
    pub fn topology(&self) -> &Topology {
        match &self.own_topology {
            Topology::Unset => &self.schema.topology,
            own => own,
        }
    }
}
