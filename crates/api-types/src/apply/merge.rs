use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compare::{is_empty, items_of, object_of};
use super::node::{Node, Shape, element_of, field_node};
use super::path::PathElement;
use crate::schema::{Name, Schema};

/// The live object with a configuration laid over it: leaves of `config` win, what it does not name stays.
pub fn merge(schema: &Schema, live: &Value, config: &Value) -> Value {
    walk(Node::new(schema), Some(live), Some(config)).unwrap_or(Value::Null)
}

fn walk(node: Node<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let shape = node.shape(config.filter(|v| !v.is_null()).or(live));
    if matches!(shape, Shape::Leaf) || (is_empty(live) && is_empty(config)) {
        return config.or(live).cloned();
    }
    match shape {
        Shape::Leaf => None,
        Shape::List { item, keys } => {
            let merged = lists(item, keys, items_of(live), items_of(config));
            (!merged.is_empty()).then_some(Value::Array(merged))
        }
        Shape::Map(child) => maps(|_| child, object_of(live), object_of(config)),
        Shape::Struct(fields) => maps(|key| field_node(fields, key), object_of(live), object_of(config)),
    }
}

fn maps<'s>(
    child: impl Fn(&str) -> Node<'s>,
    live: Option<&Map<String, Value>>,
    config: Option<&Map<String, Value>>,
) -> Option<Value> {
    let mut out = Map::new();
    for (key, value) in live.into_iter().flatten() {
        let over = config.and_then(|c| c.get(key));
        if let Some(merged) = walk(child(key), Some(value), over) {
            out.insert(key.clone(), merged);
        }
    }
    for (key, value) in config.into_iter().flatten() {
        if live.is_none_or(|l| !l.contains_key(key))
            && let Some(merged) = walk(child(key), None, Some(value))
        {
            out.insert(key.clone(), merged);
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// Elements of the configuration keep their order; elements that only the live list has keep their place among
/// those both have.
fn lists(item: Node<'_>, keys: &[Name], live: &[Value], config: &[Value]) -> Vec<Value> {
    let elements = |items: &[Value]| -> Vec<Option<PathElement>> {
        items.iter().map(|v| element_of(item, keys, v).ok()).collect()
    };
    let (live_elements, config_elements) = (elements(live), elements(config));
    let mut in_live: BTreeMap<&PathElement, Option<&Value>> = BTreeMap::new();
    for (element, value) in live_elements.iter().zip(live) {
        if let Some(element) = element {
            // Of duplicates none can be merged with.
            in_live.entry(element).and_modify(|v| *v = None).or_insert(Some(value));
        }
    }
    let in_config: std::collections::BTreeSet<&PathElement> = config_elements.iter().flatten().collect();
    let is_shared = |e: &Option<PathElement>| e.as_ref().is_some_and(|e| in_config.contains(e));

    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let mut next = 0;
    for (i, element) in config_elements.iter().enumerate() {
        // The next element that both lists have holds back the live elements behind it.
        let barrier =
            config_elements[i..].iter().find(|e| e.as_ref().is_some_and(|e| in_live.contains_key(e)));
        while next < live.len() && Some(&live_elements[next]) != barrier {
            if !is_shared(&live_elements[next]) {
                out.push(live[next].clone());
            }
            next += 1;
        }
        if next < live.len() && live_elements[next] == *element {
            next += 1;
        }
        let before = element.as_ref().and_then(|e| in_live.get(e).copied().flatten());
        out.extend(walk(item, before, Some(&config[i])));
    }
    out.extend((next..live.len()).filter(|i| !is_shared(&live_elements[*i])).map(|i| live[i].clone()));
    out
}
