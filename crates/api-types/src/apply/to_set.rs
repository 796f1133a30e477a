use serde_json::Value;

use super::node::{Node, Shape, element_of, field_node};
use super::path::PathElement;
use super::set::Set;
use crate::schema::Schema;

/// The paths that a configuration names: its leaves, each list element and map entry, and empty containers.
pub fn field_set(schema: &Schema, value: &Value) -> Set {
    let mut walker = Walker { path: Vec::new(), out: Set::new() };
    walker.walk(Node::new(schema), value);
    walker.out
}

struct Walker {
    path: Vec<PathElement>,
    out: Set,
}

impl Walker {
    fn walk(&mut self, node: Node<'_>, value: &Value) {
        match (node.shape(Some(value)), value) {
            (Shape::Leaf, _) => self.out.insert(&self.path),
            (Shape::List { item, keys }, Value::Array(items)) => {
                let elements: Vec<_> = items.iter().map(|v| element_of(item, keys, v).ok()).collect();
                for (value, element) in items.iter().zip(&elements) {
                    let Some(element) = element else { continue };
                    let single = elements.iter().filter(|e| e.as_ref() == Some(element)).count() == 1;
                    self.path.push(element.clone());
                    // Of duplicates only the presence is owned.
                    if single {
                        self.walk(item, value);
                    }
                    self.out.insert(&self.path);
                    self.path.pop();
                }
            }
            (Shape::Map(child), Value::Object(entries)) => {
                for (key, value) in entries {
                    self.descend(key, child, value, true);
                }
            }
            (Shape::Struct(fields), Value::Object(entries)) => {
                for (key, value) in entries {
                    self.descend(key, field_node(fields, key), value, fields.field(key).is_none());
                }
            }
            _ => {}
        }
    }

    fn descend(&mut self, key: &str, node: Node<'_>, value: &Value, entry: bool) {
        self.path.push(PathElement::field(key));
        self.walk(node, value);
        if entry || value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) {
            self.out.insert(&self.path);
        }
        self.path.pop();
    }
}
