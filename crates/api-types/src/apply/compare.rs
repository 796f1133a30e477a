use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::node::{Node, Shape, element_of, field_node};
use super::path::PathElement;
use super::set::Set;
use crate::schema::Schema;

/// What differs between two objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Paths that only the old object has.
    pub removed: Set,
    /// Leaves whose value differs.
    pub modified: Set,
    /// Paths that only the new object has.
    pub added: Set,
}

impl Comparison {
    /// Whether the objects are the same.
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// The comparison without the given paths and what is below them.
    pub fn without(self, ignored: &Set) -> Self {
        if ignored.is_empty() || self.is_same() {
            return self;
        }
        Self {
            removed: self.removed.difference_recursive(ignored),
            modified: self.modified.difference_recursive(ignored),
            added: self.added.difference_recursive(ignored),
        }
    }
}

/// Compares two objects of one type.
pub fn compare(schema: &Schema, old: &Value, new: &Value) -> Comparison {
    let mut walker = Walker { path: Vec::new(), out: Comparison::default() };
    walker.walk(Node::new(schema), Some(old), Some(new));
    walker.out
}

struct Walker {
    path: Vec<PathElement>,
    out: Comparison,
}

impl Walker {
    fn walk(&mut self, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        // An untyped value may change its shape; a null takes the shape of the other side.
        let mut is_leaf = match (old, new) {
            (Some(old), Some(new)) if node.is_untyped() && differ_in_shape(old, new) => {
                self.parts(node, Some(old).filter(|v| v.is_object()), Some(new).filter(|v| v.is_object()));
                self.leaf(Some(old), Some(new));
                true
            }
            _ => self.parts(node, old, new),
        };
        is_leaf |= self.path.is_empty();
        if !is_leaf {
            match (old, new) {
                (None, _) => self.out.added.insert(&self.path),
                (_, None) => self.out.removed.insert(&self.path),
                _ => {}
            }
        }
    }

    /// Compares the parts of a container, or the whole of a leaf; tells whether it was a leaf.
    fn parts(&mut self, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> bool {
        if is_empty(old) && is_empty(new) {
            self.leaf(old, new);
            return true;
        }
        let shape = node.shape(new.filter(|v| !v.is_null()).or(old));
        match shape {
            Shape::Leaf => {
                self.leaf(old, new);
                return true;
            }
            Shape::List { item, keys } => self.lists(item, keys, items_of(old), items_of(new)),
            Shape::Map(child) => self.maps(|_| child, object_of(old), object_of(new)),
            Shape::Struct(fields) => self.maps(|key| field_node(fields, key), object_of(old), object_of(new)),
        }
        false
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            (old, new) if old != new => self.out.modified.insert(&self.path),
            _ => {}
        }
    }

    fn maps<'s>(
        &mut self,
        child: impl Fn(&str) -> Node<'s>,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
    ) {
        for (key, before) in old.into_iter().flatten() {
            let after = new.and_then(|m| m.get(key));
            if after != Some(before) {
                self.step(PathElement::field(key), child(key), Some(before), after);
            }
        }
        for (key, after) in new.into_iter().flatten() {
            if old.is_none_or(|m| !m.contains_key(key)) {
                self.step(PathElement::field(key), child(key), None, Some(after));
            }
        }
    }

    fn step(&mut self, element: PathElement, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) {
        self.path.push(element);
        self.walk(node, old, new);
        self.path.pop();
    }

    fn lists(&mut self, item: Node<'_>, keys: &[crate::schema::Name], old: &[Value], new: &[Value]) {
        let mut by_element: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for value in old {
            if let Ok(element) = element_of(item, keys, value) {
                by_element.entry(element).or_default().0.push(value);
            }
        }
        for value in new {
            if let Ok(element) = element_of(item, keys, value) {
                by_element.entry(element).or_default().1.push(value);
            }
        }
        for (element, (before, after)) in by_element {
            match (before.as_slice(), after.as_slice()) {
                ([_, _, ..], [_, _, ..]) => {
                    if before != after {
                        self.mark(element, |out| &mut out.modified);
                    }
                }
                ([_, _, ..], rest) => {
                    if let Some(one) = rest.first() {
                        self.step(element.clone(), item, None, Some(one));
                    }
                    self.mark(element, |out| &mut out.removed);
                }
                (rest, [_, _, ..]) => {
                    if let Some(one) = rest.first() {
                        self.step(element.clone(), item, Some(one), None);
                    }
                    self.mark(element, |out| &mut out.added);
                }
                (before, after) => self.step(element, item, before.first().copied(), after.first().copied()),
            }
        }
    }

    fn mark(&mut self, element: PathElement, set: impl Fn(&mut Comparison) -> &mut Set) {
        self.path.push(element);
        set(&mut self.out).insert(&self.path);
        self.path.pop();
    }
}

fn differ_in_shape(old: &Value, new: &Value) -> bool {
    !old.is_null() && !new.is_null() && old.is_object() != new.is_object()
}

/// Absent, null, `{}` and `[]` are leaves, so that their difference is not lost.
pub(super) fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(entries)) => entries.is_empty(),
        _ => false,
    }
}

pub(super) fn items_of(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn object_of(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}
