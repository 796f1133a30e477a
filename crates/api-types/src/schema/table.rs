//! The embedded tables of built-in types.
//!
//! `types.txt` is text that stays in the binary's read-only pages. Its index is an offset per type, made at first use; a
//! type's node is parsed when somebody first looks at it and lives as long as the process.

use std::sync::OnceLock;

use super::{
    Field, Kind, List, Map, Name, Schema, SchemaOr, SchemaRef, Struct, Topology, WireField, WireTarget,
};

static TYPES: &str = include_str!("../../schema/types.txt");
static KINDS: &str = include_str!("../../schema/kinds.txt");

/// Scalar type names of the table; a scalar's node index is its position.
const SCALARS: [&str; 18] = [
    "any",
    "bool",
    "int32",
    "int64",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "string",
    "bytes",
    "Time",
    "MicroTime",
    "Duration",
    "Quantity",
    "IntOrString",
    "RawExtension",
    "JSON",
    "Object",
];

/// Kinds that upstream registers in every group version.
const EVERYWHERE: [&str; 7] = [
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "UpdateOptions",
    "WatchEvent",
];

/// Kinds of the discovery documents, registered as `v1` whatever group they speak of.
const UNVERSIONED: [&str; 5] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status"];

struct Index {
    /// Types sorted by name: name, position of the definition in `TYPES`.
    types: Vec<(&'static str, u32)>,
    /// Packages sorted by reference: `core/v1`, `io.k8s.api.core.v1`.
    packages: Vec<(&'static str, &'static str)>,
    /// Kinds sorted by (group, version, kind), with the type.
    kinds: Vec<([&'static str; 3], &'static str)>,
    /// One slot per scalar and per type.
    nodes: Vec<OnceLock<Box<Schema>>>,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(build_index)
}

fn build_index() -> Index {
    let (mut types, mut packages, mut offset) = (Vec::new(), Vec::new(), 0);
    for line in TYPES.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("type ") {
            types.push((rest.split_ascii_whitespace().next().unwrap_or_default(), offset as u32));
        } else if let Some(rest) = line.strip_prefix("package ")
            && let Some(pair) = rest.trim_end().split_once(' ')
        {
            packages.push(pair);
        }
        offset += line.len();
    }
    types.sort_unstable();
    packages.sort_unstable();
    let mut kinds: Vec<([&str; 3], &str)> = KINDS
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|line| {
            let mut parts = line.split(' ');
            let group = parts.next()?;
            let group = if group == "-" { "" } else { group };
            Some(([group, parts.next()?, parts.next()?], parts.next()?))
        })
        .collect();
    kinds.sort_unstable();
    let nodes = (0..SCALARS.len() + types.len()).map(|_| OnceLock::new()).collect();
    Index { types, packages, kinds, nodes }
}

/// The node of a built-in index.
pub(super) fn node(number: u32) -> &'static Schema {
    let index = index();
    // The number comes from `find` or `scalar`, which return positions in this table.
    index.nodes[number as usize].get_or_init(|| {
        Box::new(match (number as usize).checked_sub(SCALARS.len()) {
            None => Schema { kind: scalar_kind(SCALARS[number as usize]), ..Schema::default() },
            Some(position) => {
                let (name, offset) = index.types[position];
                parse_type(name, &TYPES[offset as usize..])
            }
        })
    })
}

/// Any JSON value.
pub(super) fn any() -> SchemaRef {
    SchemaRef::builtin(0)
}

/// The type of that table name (`core/v1.Pod`, `meta/v1.ObjectMeta`).
pub fn by_type(name: &str) -> Option<SchemaRef> {
    let index = index();
    let position = index.types.binary_search_by(|(n, _)| (*n).cmp(name)).ok()?;
    let (_, offset) = index.types[position];
    let header = TYPES[offset as usize..].lines().next().unwrap_or_default();
    match header.split_once(" alias ") {
        Some((_, target)) => by_type(target),
        None => Some(SchemaRef::builtin((SCALARS.len() + position) as u32)),
    }
}

/// The type that a group version registers under a kind; the core group is `""`.
pub fn by_gvk(group: &str, version: &str, kind: &str) -> Option<SchemaRef> {
    let kinds = &index().kinds;
    if let Ok(position) = kinds.binary_search_by(|(key, _)| key.as_slice().cmp(&[group, version, kind])) {
        return by_type(kinds[position].1);
    }
    let meta =
        EVERYWHERE.contains(&kind) || (group.is_empty() && version == "v1" && UNVERSIONED.contains(&kind));
    if meta { by_type(&format!("meta/v1.{kind}")) } else { None }
}

/// Every registered (group, version, kind), sorted.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    index().kinds.iter().map(|([group, version, kind], _)| (*group, *version, *kind))
}

/// The first registered (group, version, kind) of a type.
pub fn gvk_of(type_name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    index()
        .kinds
        .iter()
        .find(|(_, t)| *t == type_name)
        .map(|([group, version, kind], _)| (*group, *version, *kind))
}

/// Names of all types in the table, sorted.
pub fn type_names() -> impl Iterator<Item = &'static str> {
    index().types.iter().map(|(name, _)| *name)
}

/// The OpenAPI definition name of a type: `io.k8s.api.core.v1.Pod` for `core/v1.Pod`.
pub fn open_api_name(type_name: &str) -> Option<String> {
    let (package, name) = type_name.rsplit_once('.')?;
    let packages = &index().packages;
    let position = packages.binary_search_by(|(p, _)| (*p).cmp(package)).ok()?;
    Some(format!("{}.{name}", packages[position].1))
}

fn scalar(name: &str) -> Option<SchemaRef> {
    SCALARS.iter().position(|s| *s == name).map(|i| SchemaRef::builtin(i as u32))
}

fn scalar_kind(name: &str) -> Kind {
    match name {
        "bool" => Kind::Bool,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "uint32" => Kind::Uint32,
        "uint64" => Kind::Uint64,
        "float32" => Kind::Float32,
        "float64" => Kind::Float64,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "Time" => Kind::Time,
        "MicroTime" => Kind::MicroTime,
        "Duration" => Kind::Duration,
        "Quantity" => Kind::Quantity,
        "IntOrString" => Kind::IntOrString,
        "RawExtension" => Kind::RawExtension,
        _ => Kind::Any,
    }
}

fn parse_type(name: &'static str, text: &'static str) -> Schema {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let rest =
        header.strip_prefix("type ").and_then(|h| h.strip_prefix(name)).unwrap_or_default().trim_start();
    let (form, argument) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut schema = Schema { type_name: Name::Borrowed(name), ..Schema::default() };
    schema.kind = match form {
        "struct" => {
            if let Some(topology) = argument.strip_prefix("struct=") {
                schema.topology = parse_topology(topology);
            }
            Kind::Struct(parse_fields(lines.map_while(|l| l.strip_prefix('\t'))))
        }
        "string" => {
            schema.enum_values = serde_json::from_str(argument).unwrap_or_default();
            Kind::String
        }
        "list" => {
            let (item, message) = match argument.strip_suffix(" message") {
                Some(item) => (item, true),
                None => (argument, false),
            };
            Kind::List(List { item: parse_ref(item), message })
        }
        "map" => match &parse_expression(argument).kind {
            Kind::Map(m) => Kind::Map(Map { value: m.value.clone() }),
            _ => Kind::Any,
        },
        "fields" => Kind::FieldsV1,
        "schema-or-schemas" => Kind::SchemaOr(parse_ref(argument), SchemaOr::Schemas),
        "schema-or-bool" => Kind::SchemaOr(parse_ref(argument), SchemaOr::Bool),
        "schema-or-strings" => Kind::SchemaOr(parse_ref(argument), SchemaOr::Strings),
        other => scalar_kind(other),
    };
    schema
}

fn parse_fields(lines: impl Iterator<Item = &'static str>) -> Struct {
    let mut fields: Vec<Field> = Vec::new();
    let mut wire = Vec::new();
    for line in lines {
        let (name, number, field) = parse_field(line);
        if name != "~" {
            if number > 0 {
                wire.push(WireField { number, target: WireTarget::Field(fields.len() as u16) });
            }
            fields.push(field);
            continue;
        }
        let inner = field.schema;
        if number > 0 {
            wire.push(WireField { number, target: WireTarget::Inline(inner.clone()) });
        }
        for inherited in inner.as_struct().map(|s| s.fields.as_slice()).unwrap_or_default() {
            if !fields.iter().any(|f| f.name == inherited.name) {
                let mut copy = inherited.clone();
                copy.inlined_from.get_or_insert_with(|| inner.type_name.clone());
                fields.push(copy);
            }
        }
    }
    wire.sort_by_key(|w| w.number);
    Struct::new(fields, wire)
}

/// One line of a struct: `name type number flags [key=value ...] [default=json]`.
fn parse_field(line: &'static str) -> (&'static str, u32, Field) {
    let (line, default) = match line.split_once(" default=") {
        Some((head, json)) => (head, serde_json::from_str(json).ok()),
        None => (line, None),
    };
    let mut parts = line.split(' ');
    let mut next = || parts.next().unwrap_or_default();
    let (name, type_, number, flags) = (next(), next(), next().parse().unwrap_or(0), next());
    let mut field = Field {
        name: Name::Borrowed(name),
        required: flags.contains('r'),
        omitempty: flags.contains('e'),
        omitzero: flags.contains('z'),
        pointer: flags.contains('p'),
        number,
        default,
        ..Field::default()
    };
    for (key, value) in parts.filter_map(|p| p.split_once('=')) {
        match key {
            "list" | "map" | "struct" => field.own_topology = parse_topology(value),
            "patch" => {
                field.patch_merge = value.split(',').any(|v| v == "merge");
                field.patch_retain_keys = value.split(',').any(|v| v == "retainKeys");
                field.patch_replace = value.split(',').any(|v| v == "replace");
            }
            "pkey" => field.patch_merge_key = Some(Name::Borrowed(value)),
            "gate" => field.gates = value.split(',').map(Name::Borrowed).collect(),
            "union" => field.union_discriminator = true,
            _ => {}
        }
    }
    field.schema = parse_ref(type_);
    // The topology of a list or map belongs to its node, as it does in a CustomResourceDefinition.
    if field.own_topology != Topology::Unset && matches!(field.schema.kind, Kind::List(_) | Kind::Map(_)) {
        let copy = match &field.schema.kind {
            Kind::List(l) => Kind::List(List { item: l.item.clone(), message: l.message }),
            Kind::Map(m) => Kind::Map(Map { value: m.value.clone() }),
            _ => Kind::Any,
        };
        let type_name = field.schema.type_name.clone();
        let topology = field.own_topology.clone();
        field.schema = SchemaRef::new(Schema { type_name, kind: copy, topology, ..Schema::default() });
    }
    (name, number, field)
}

/// `atomic`, `granular`, `set`, `map:key,key`.
fn parse_topology(text: &'static str) -> Topology {
    match text.split_once(':') {
        Some(("map", keys)) => Topology::Map(keys.split(',').map(Name::Borrowed).collect()),
        _ => match text {
            "atomic" => Topology::Atomic,
            "granular" => Topology::Granular,
            "set" => Topology::Set,
            _ => Topology::Unset,
        },
    }
}

fn parse_ref(text: &'static str) -> SchemaRef {
    let bare = text.trim_start_matches('*');
    scalar(bare).or_else(|| by_type(bare)).unwrap_or_else(|| parse_expression(bare))
}

/// `list<T>` or `map<K,V>`.
fn parse_expression(text: &'static str) -> SchemaRef {
    let Some((head, inner)) = text.strip_suffix('>').and_then(|t| t.split_once('<')) else {
        return any();
    };
    let kind = match head {
        "list" => Kind::List(List { item: parse_ref(inner), message: false }),
        _ => {
            let value = inner.split_once(',').map_or(inner, |(_, value)| value);
            Kind::Map(Map { value: parse_ref(value) })
        }
    };
    SchemaRef::new(Schema { kind, ..Schema::default() })
}
