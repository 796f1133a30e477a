//! Checks an applied configuration against its schema, with the wording that appliers know.

use std::collections::BTreeSet;

use serde_json::Value;

use super::node::{Node, Shape, element_of, field_node};
use super::path::{PathElement, path_text};
use crate::go_text;
use crate::schema::{Kind, Schema};

/// What does not fit the schema: unknown fields, wrong types, duplicate list elements. One sentence per finding.
pub fn check(schema: &Schema, value: &Value) -> Result<(), String> {
    let mut walker = Walker { path: Vec::new(), errors: Vec::new() };
    walker.walk(Node::new(schema), value);
    match walker.errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Walker {
    path: Vec<PathElement>,
    errors: Vec<String>,
}

impl Walker {
    fn fail(&mut self, what: &str) {
        self.errors.push(format!("{}: {what}", path_text(&self.path)));
    }

    fn walk(&mut self, node: Node<'_>, value: &Value) {
        if value.is_null()
            || node.is_untyped()
            || matches!(node.schema.kind, Kind::RawExtension | Kind::FieldsV1)
        {
            return;
        }
        match (&node.schema.kind, value) {
            (Kind::List(list), Value::Array(items)) => self.list(node, Node::new(&list.item), items),
            (Kind::List(_), other) => {
                self.fail(&format!("expected list, got &{{{}}}", go_text::plain(other)))
            }
            (Kind::Map(map), Value::Object(entries)) => {
                for (key, value) in entries {
                    self.descend(PathElement::field(key), Node::new(&map.value), value);
                }
            }
            (Kind::Struct(fields), Value::Object(entries)) => {
                for (key, value) in entries {
                    if fields.field(key).is_none() && !fields.preserve_unknown {
                        self.path.push(PathElement::field(key));
                        self.fail("field not declared in schema");
                        self.path.pop();
                    } else {
                        self.descend(PathElement::field(key), field_node(fields, key), value);
                    }
                }
            }
            (Kind::Map(_) | Kind::Struct(_), other) => {
                self.fail(&format!("expected map, got &{{{}}}", go_text::plain(other)));
            }
            _ => self.scalar(node.schema, value),
        }
    }

    fn descend(&mut self, element: PathElement, node: Node<'_>, value: &Value) {
        self.path.push(element);
        self.walk(node, value);
        self.path.pop();
    }

    fn list(&mut self, node: Node<'_>, item: Node<'_>, items: &[Value]) {
        let keys = match node.shape(None) {
            Shape::List { keys, .. } => Some(keys),
            _ => None,
        };
        let mut seen = BTreeSet::new();
        for (i, value) in items.iter().enumerate() {
            let element = match keys.map(|keys| element_of(item, keys, value)) {
                None => PathElement::Index(i as u64),
                Some(Ok(element)) => element,
                Some(Err(why)) => {
                    self.fail(&format!("element {i}: {why}"));
                    continue;
                }
            };
            if !seen.insert(element.clone()) {
                self.fail(&format!(
                    "duplicate entries for key {}",
                    path_text(std::slice::from_ref(&element))
                ));
            }
            self.descend(element, item, value);
        }
    }

    fn scalar(&mut self, schema: &Schema, value: &Value) {
        match schema.kind {
            Kind::Bool if !value.is_boolean() => {
                self.fail(&format!("expected boolean, got &{{{}}}", go_text::plain(value)))
            }
            Kind::String | Kind::Bytes if !value.is_string() => {
                self.fail(&format!(
                    "expected string, got &value.valueUnstructured{{Value:{}}}",
                    go_text::syntax(value)
                ));
            }
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Float32 | Kind::Float64
                if !value.is_number() =>
            {
                self.fail(&format!("expected numeric (int or float), got {}", go_text::type_name(value)));
            }
            _ if value.is_object() || value.is_array() => {
                self.fail(&format!("expected any scalar, got &{{{}}}", go_text::plain(value)));
            }
            _ => {}
        }
    }
}
