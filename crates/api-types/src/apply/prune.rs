use serde_json::{Map, Value};

use super::managed::{Entry, Operation};
use super::node::{Node, Shape, element_of, field_node};
use super::path::PathElement;
use super::set::Set;
use super::to_set::field_set;
use crate::schema::{Name, Schema};

/// The value without the parts that `paths` names; a container that loses its last part goes too.
pub fn remove(schema: &Schema, value: &Value, paths: &Set) -> Value {
    if paths.is_empty() {
        return value.clone();
    }
    walk(Node::new(schema), value, paths).unwrap_or(Value::Null)
}

fn walk(node: Node<'_>, value: &Value, paths: &Set) -> Option<Value> {
    match (node.shape(Some(value)), value) {
        (Shape::List { item, keys }, Value::Array(items)) => lists(item, keys, items, paths),
        (Shape::Map(child), Value::Object(entries)) => maps(|_| child, entries, paths),
        (Shape::Struct(fields), Value::Object(entries)) => {
            maps(|key| field_node(fields, key), entries, paths)
        }
        _ => Some(value.clone()),
    }
}

fn maps<'s>(child: impl Fn(&str) -> Node<'s>, entries: &Map<String, Value>, paths: &Set) -> Option<Value> {
    let mut out = Map::new();
    for (key, value) in entries {
        if let Some(kept) = part(&PathElement::field(key), || child(key), value, paths) {
            out.insert(key.clone(), kept);
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

fn lists(item: Node<'_>, keys: &[Name], items: &[Value], paths: &Set) -> Option<Value> {
    let kept = items.iter().filter_map(|value| match element_of(item, keys, value) {
        Ok(element) => part(&element, || item, value, paths),
        Err(_) => Some(value.clone()),
    });
    let kept: Vec<Value> = kept.collect();
    (!kept.is_empty()).then_some(Value::Array(kept))
}

fn part<'s>(
    element: &PathElement,
    node: impl FnOnce() -> Node<'s>,
    value: &Value,
    paths: &Set,
) -> Option<Value> {
    if paths.has(element) {
        return None;
    }
    match paths.below(element) {
        Some(below) => walk(node(), value, below),
        None => Some(value.clone()),
    }
}

/// Removes from `merged` what the applier set last time, does not set now, and nobody else owns.
///
/// `entries` already hold the applier's new set; `system` are fields that belong to the server.
pub(super) fn prune(schema: &Schema, merged: &Value, last: &Set, entries: &[Entry], system: &Set) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let node = Node::new(schema);
    let last = last.with_struct_fields(node);
    let present = field_set(schema, merged).with_struct_fields(node);
    let after_removal = |value: &Value| field_set(schema, value).with_struct_fields(node);

    let pruned = remove(schema, merged, &last);
    let mut owned = system.clone();
    for entry in entries {
        owned.add(&entry.fields);
    }
    let kept = after_removal(&pruned).union(&owned.with_struct_fields(node));
    let pruned = remove(schema, merged, &present.difference(&kept));

    // Parts that nobody owns, or only updaters do, were not the applier's to remove.
    let gone = present.difference(&after_removal(&pruned));
    remove(schema, merged, &gone.intersection(&last))
}

/// Whether an entry records applied configuration.
pub(super) fn is_applied(entry: &Entry) -> bool {
    entry.operation == Operation::Apply
}
