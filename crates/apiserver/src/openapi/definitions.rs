//! The types that a document defines: those its operations name, and all that these refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::resource::ResourceInfo;
use api_types::schema::{self, Kind, Schema, SchemaRef};
use serde_json::{Map, Value, json};

use super::names;
use super::paths::{Row, Type};
use super::schemas::{self, Dialect, META, reference, reference_name};

/// Types that a document defines, by the names of their definitions.
#[derive(Default)]
pub struct Definitions {
    types: BTreeMap<String, Source>,
}

enum Source {
    Node(SchemaRef),
    Custom(Arc<ResourceInfo>),
    CustomList(Arc<ResourceInfo>),
    Version,
}

impl Definitions {
    /// Adds a type and all that it refers to.
    pub fn add(&mut self, type_: &Type, rows: &[Row]) {
        let row = |name: &str| {
            let mut infos = rows.iter().map(|row| &row.info).filter(|info| info.is_custom());
            infos.find(|info| names::custom_definition(info) == name).cloned()
        };
        match type_ {
            Type::Builtin(name) => {
                if let Some(schema) = schema::by_type(name) {
                    self.add_node(&schema);
                }
            }
            Type::Version => {
                self.types.insert(reference_name(type_), Source::Version);
            }
            Type::Custom(name) => {
                if let Some(info) = row(name) {
                    self.add_children(&info.schema);
                    self.types.insert(name.clone(), Source::Custom(info));
                }
            }
            Type::CustomList(name) => {
                if let Some(info) = row(name) {
                    self.add(&Type::Custom(name.clone()), rows);
                    if let Some(meta) = schema::by_type("meta/v1.ListMeta") {
                        self.add_node(&meta);
                    }
                    self.types.insert(reference_name(type_), Source::CustomList(info));
                }
            }
        }
    }

    fn add_node(&mut self, node: &SchemaRef) {
        if let Some(name) = schemas::definition_name(node) {
            if self.types.contains_key(&name) {
                return;
            }
            self.types.insert(name, Source::Node(node.clone()));
        }
        self.add_children(node);
    }

    fn add_children(&mut self, node: &Schema) {
        match &node.kind {
            Kind::List(list) if !schemas::is_open(node, &list.item) => self.add_node(&list.item),
            Kind::Map(map) if !schemas::is_open(node, &map.value) => self.add_node(&map.value),
            Kind::Struct(layout) => layout.fields.iter().for_each(|field| self.add_node(&field.schema)),
            _ => {}
        }
    }

    /// Names and schemas in order of names; each schema is made when it is asked for.
    pub fn iter(&self, dialect: Dialect) -> impl Iterator<Item = (&str, Value)> {
        self.types.iter().map(move |(name, source)| {
            let schema = match source {
                Source::Node(node) => schemas::definition(node, dialect),
                Source::Custom(info) => custom(info, dialect),
                Source::CustomList(info) => custom_list(info, dialect),
                Source::Version => version(dialect),
            };
            (name.as_str(), schema)
        })
    }
}

fn custom(info: &ResourceInfo, dialect: Dialect) -> Value {
    let mut out = schemas::body(&info.schema, dialect);
    let kind = json!([{ "group": info.group, "version": info.version, "kind": info.kind }]);
    out.insert("x-kubernetes-group-version-kind".into(), kind);
    Value::Object(out)
}

fn custom_list(info: &ResourceInfo, dialect: Dialect) -> Value {
    let item = names::custom_definition(info);
    json!({
        "description": format!("{} is a list of {}.", info.list_kind, info.plural),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": reference(&format!("{META}.ListMeta"), dialect),
            "items": { "type": "array", "items": reference(&item, dialect) },
        },
        "x-kubernetes-group-version-kind": [{
            "group": info.group, "version": info.version, "kind": info.list_kind,
        }],
    })
}

fn version(dialect: Dialect) -> Value {
    const REQUIRED: [&str; 9] = [
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ];
    const OPTIONAL: [&str; 4] =
        ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    let mut properties = Map::new();
    for name in REQUIRED {
        let field = match dialect {
            Dialect::V2 => json!({ "type": "string" }),
            Dialect::V3 => json!({ "type": "string", "default": "" }),
        };
        properties.insert(name.to_owned(), field);
    }
    properties.extend(OPTIONAL.map(|name| (name.to_owned(), json!({ "type": "string" }))));
    json!({ "type": "object", "required": REQUIRED, "properties": properties })
}
