//! Definitions of types: from schema nodes to OpenAPI schemas.

use std::collections::BTreeSet;

use api_types::schema::{self, Field, Kind, Schema, SchemaRef, Topology};
use serde_json::{Map, Value, json};

use super::describe;
use super::paths::Type;

/// Which version of OpenAPI a schema is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0: a reference stands alone; defaults, `oneOf` and `nullable` are left out, as upstream leaves them out.
    V2,
    /// OpenAPI 3.0.
    V3,
}

const VERSION: &str = "io.k8s.apimachinery.pkg.version.Info";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const JSON: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";
/// Where the definitions of `meta/v1` are.
pub const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The name under which a document defines a type.
pub fn reference_name(type_: &Type) -> String {
    match type_ {
        Type::Builtin(name) => schema::open_api_name(name).unwrap_or_default(),
        Type::Custom(name) => name.clone(),
        Type::CustomList(name) => format!("{name}List"),
        Type::Version => VERSION.to_owned(),
    }
}

/// A reference to a definition.
pub fn reference(name: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
        Dialect::V3 => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// The name of a node that has a definition of its own. Named texts, numbers, lists and maps are written in place.
pub fn definition_name(node: &Schema) -> Option<String> {
    match &node.kind {
        Kind::Quantity => Some(QUANTITY.to_owned()),
        Kind::IntOrString if node.custom.is_none() => Some(INT_OR_STRING.to_owned()),
        Kind::RawExtension => Some(RAW_EXTENSION.to_owned()),
        Kind::Time => Some(format!("{META}.Time")),
        Kind::MicroTime => Some(format!("{META}.MicroTime")),
        Kind::Duration => Some(format!("{META}.Duration")),
        Kind::FieldsV1 => Some(format!("{META}.FieldsV1")),
        Kind::Any if node.type_name.is_empty() && node.custom.is_none() => Some(JSON.to_owned()),
        Kind::Struct(_) | Kind::SchemaOr(..) | Kind::Any if !node.type_name.is_empty() => {
            schema::open_api_name(&node.type_name)
        }
        _ => None,
    }
}

/// The definition of a node that has one.
pub fn definition(node: &Schema, dialect: Dialect) -> Value {
    let is_v2 = dialect == Dialect::V2;
    match &node.kind {
        Kind::Quantity if is_v2 => json!({ "type": "string" }),
        Kind::Quantity => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        Kind::IntOrString if is_v2 => json!({ "type": "string", "format": "int-or-string" }),
        Kind::IntOrString => {
            json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] })
        }
        Kind::RawExtension | Kind::FieldsV1 => json!({ "type": "object" }),
        Kind::Time | Kind::MicroTime => json!({ "type": "string", "format": "date-time" }),
        Kind::Duration => json!({ "type": "string" }),
        Kind::Struct(_) => {
            let mut out = body(node, dialect);
            if let Some(description) = describe::kind(node) {
                out.insert("description".into(), description.into());
            }
            if let Some((group, version, kind)) = kind_of(&node.type_name) {
                let kinds = json!([{ "group": group, "version": version, "kind": kind }]);
                out.insert("x-kubernetes-group-version-kind".into(), kinds);
            }
            if let Some(unions) = unions(node) {
                out.insert("x-kubernetes-unions".into(), unions);
            }
            Value::Object(out)
        }
        // Any JSON at all.
        _ => json!({}),
    }
}

/// The group, version and kind that a type is known by. Those of the discovery documents, of options and of watch events
/// have no group.
fn kind_of(type_name: &str) -> Option<(&'static str, &'static str, &str)> {
    match type_name.strip_prefix("meta/v1.") {
        Some(
            kind @ ("APIGroup" | "APIGroupList" | "APIResourceList" | "APIVersions" | "DeleteOptions"
            | "Status" | "WatchEvent"),
        ) => Some(("", "v1", kind)),
        Some(_) => None,
        None => schema::gvk_of(type_name),
    }
}

/// The node itself, without reference.
pub fn body(node: &Schema, dialect: Dialect) -> Map<String, Value> {
    let mut out = Map::new();
    if let Some(custom) = &node.custom {
        out.extend(
            custom.keywords.iter().filter(|(key, _)| kept(key, dialect)).map(|(k, v)| (k.clone(), v.clone())),
        );
    }
    match &node.kind {
        Kind::Struct(layout) => {
            out.insert("type".into(), "object".into());
            let required: Vec<&str> = layout.fields.iter().filter(|f| f.required).map(|f| &*f.name).collect();
            if !required.is_empty() {
                out.insert("required".into(), json!(required));
            }
            if !layout.fields.is_empty() {
                let fields = layout.fields.iter();
                let fields = fields.map(|field| (field.name.to_string(), property(node, field, dialect)));
                out.insert("properties".into(), fields.collect());
            }
            topology(&node.topology, "x-kubernetes-map-type", &mut out);
        }
        Kind::List(list) => {
            out.insert("type".into(), "array".into());
            out.insert("items".into(), element(node, &list.item, dialect));
            topology(&node.topology, "x-kubernetes-list-type", &mut out);
        }
        Kind::Map(map) => {
            out.insert("type".into(), "object".into());
            out.insert("additionalProperties".into(), element(node, &map.value, dialect));
            topology(&node.topology, "x-kubernetes-map-type", &mut out);
        }
        // A custom node has said its type itself.
        _ if node.custom.is_some() => {}
        kind => {
            let (type_, format) = scalar(kind);
            if !type_.is_empty() {
                out.insert("type".into(), type_.into());
            }
            if !format.is_empty() {
                out.insert("format".into(), format.into());
            }
            if !node.enum_values.is_empty() {
                // Two Go types may name the same values.
                let values: BTreeSet<&str> = node.enum_values.iter().copied().collect();
                out.insert("enum".into(), json!(values));
            }
        }
    }
    if dialect == Dialect::V2 && is_loose(node) {
        // Old clients would refuse what the server takes.
        for key in ["type", "items", "properties"] {
            out.remove(key);
        }
    }
    out
}

/// Whether a custom node takes more than OpenAPI v2 can say: `null`, or unknown fields.
fn is_loose(node: &Schema) -> bool {
    let preserves = "x-kubernetes-preserve-unknown-fields";
    node.custom
        .as_ref()
        .is_some_and(|custom| node.nullable || custom.keywords.get(preserves).is_some_and(|p| *p == true))
}

/// Keywords of custom schemas that a dialect cannot say are left out of it.
fn kept(key: &str, dialect: Dialect) -> bool {
    dialect == Dialect::V3
        || !matches!(
            key,
            "default"
                | "nullable"
                | "oneOf"
                | "anyOf"
                | "not"
                | "allOf"
                | "x-kubernetes-validations"
                | "required"
        )
}

fn scalar(kind: &Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Bool => ("boolean", ""),
        Kind::Int32 => ("integer", "int32"),
        Kind::Int64 => ("integer", "int64"),
        Kind::Uint32 => ("integer", "int64"),
        Kind::Uint64 => ("integer", "int64"),
        Kind::Float32 => ("number", "float"),
        Kind::Float64 => ("number", "double"),
        Kind::Bytes => ("string", "byte"),
        Kind::String => ("string", ""),
        _ => ("", ""),
    }
}

fn property(owner: &Schema, field: &Field, dialect: Dialect) -> Value {
    let default = match dialect {
        Dialect::V2 => None,
        Dialect::V3 => field.default.clone().or_else(|| zero(field)),
    };
    let mut out = match definition_name(&field.schema) {
        Some(name) if dialect == Dialect::V3 => {
            Map::from_iter([("allOf".to_owned(), json!([reference(&name, dialect)]))])
        }
        Some(name) => match reference(&name, dialect) {
            Value::Object(reference) => reference,
            _ => Map::new(),
        },
        None => body(&field.schema, dialect),
    };
    if let Some(default) = default {
        out.insert("default".into(), default);
    }
    if let Some(description) = describe::field(&owner.type_name, &field.name)
        && field.schema.custom.is_none()
    {
        out.insert("description".into(), description.into());
    }
    let strategies = [
        ("merge", field.patch_merge),
        ("retainKeys", field.patch_retain_keys),
        ("replace", field.patch_replace),
    ];
    let strategies: Vec<&str> =
        strategies.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect();
    if !strategies.is_empty() {
        out.insert("x-kubernetes-patch-strategy".into(), strategies.join(",").into());
    }
    if let Some(key) = &field.patch_merge_key {
        out.insert("x-kubernetes-patch-merge-key".into(), key.to_string().into());
    }
    let own = match &field.schema.kind {
        Kind::Map(_) | Kind::Struct(_) => "x-kubernetes-map-type",
        _ => "x-kubernetes-list-type",
    };
    topology(&field.own_topology, own, &mut out);
    Value::Object(out)
}

/// What an absent field of a Go struct is: told as default unless it is left out or a pointer.
fn zero(field: &Field) -> Option<Value> {
    if field.pointer {
        return None;
    }
    match &field.schema.kind {
        // `omitempty` has no effect on structs.
        Kind::Struct(_) if field.schema.custom.is_none() => Some(json!({})),
        _ if field.omitempty || field.schema.custom.is_some() => None,
        kind => zero_scalar(kind),
    }
}

fn zero_scalar(kind: &Kind) -> Option<Value> {
    match kind {
        Kind::String => Some("".into()),
        Kind::Bool => Some(false.into()),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Float32 | Kind::Float64 => {
            Some(0.into())
        }
        _ => None,
    }
}

/// An element of a list or a value of a map.
fn element(parent: &Schema, node: &SchemaRef, dialect: Dialect) -> Value {
    if is_open(parent, node) {
        return json!({});
    }
    let Some(name) = definition_name(node) else {
        let mut out = body(node, dialect);
        if dialect == Dialect::V3
            && node.custom.is_none()
            && let Some(zero) = zero_scalar(&node.kind)
        {
            out.insert("default".into(), zero);
        }
        return Value::Object(out);
    };
    match (&node.kind, dialect) {
        (Kind::Struct(_), Dialect::V3) => json!({ "default": {}, "allOf": [reference(&name, dialect)] }),
        _ => reference(&name, dialect),
    }
}

/// Whether the elements of a custom list or map may be anything: then they have no node of their own.
pub fn is_open(parent: &Schema, element: &Schema) -> bool {
    parent.custom.is_some() && element.custom.is_none() && matches!(element.kind, Kind::Any)
}

fn topology(topology: &Topology, key: &str, out: &mut Map<String, Value>) {
    let said = match topology {
        Topology::Unset => return,
        Topology::Atomic => "atomic",
        Topology::Granular => "granular",
        Topology::Set => "set",
        Topology::Map(keys) => {
            out.insert("x-kubernetes-list-map-keys".into(), json!(keys));
            "map"
        }
    };
    out.insert(key.into(), said.into());
}

/// Fields of which one is set, and the field that says which (KEP-1027). The tables mark discriminators only.
fn unions(node: &Schema) -> Option<Value> {
    let (discriminator, fields): (&str, &[(&str, &str)]) = match &*node.type_name {
        "core/v1.AppArmorProfile" | "core/v1.SeccompProfile" => {
            ("type", &[("localhostProfile", "LocalhostProfile")])
        }
        "core/v1.PodSchedulingGroup" => ("", &[("podGroupName", "PodGroupName")]),
        "flowcontrol.apiserver.k8s.io/v1.LimitResponse" => ("type", &[("queuing", "Queuing")]),
        "flowcontrol.apiserver.k8s.io/v1.PriorityLevelConfigurationSpec" => {
            ("type", &[("exempt", "Exempt"), ("limited", "Limited")])
        }
        "flowcontrol.apiserver.k8s.io/v1.Subject" => {
            ("kind", &[("group", "Group"), ("serviceAccount", "ServiceAccount"), ("user", "User")])
        }
        _ => return None,
    };
    let fields: Map<String, Value> =
        fields.iter().map(|(field, value)| ((*field).to_owned(), Value::from(*value))).collect();
    let mut union = json!({ "fields-to-discriminateBy": fields });
    if !discriminator.is_empty() {
        union["discriminator"] = discriminator.into();
    }
    Some(json!([union]))
}
