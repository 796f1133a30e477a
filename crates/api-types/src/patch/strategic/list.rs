//! Merging of lists: maps by their key, scalars as a set.

use serde_json::Value;

use super::{DIRECTIVE, Rule, merge_map, order, unknown_directive, without_directives};
use crate::go_text;

type Result<T> = std::result::Result<T, String>;

/// Merges, deletes from, or replaces a list, as the type says.
pub(super) fn merge_by_rule(
    original: Vec<Value>,
    patch: Vec<Value>,
    rule: &Rule<'_>,
    deletes: bool,
) -> Result<Vec<Value>> {
    if !rule.merge && !deletes {
        return Ok(patch);
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    if !has_maps(&original, &patch)? {
        if deletes {
            return Ok(original.into_iter().filter(|v| !patch.contains(v)).collect());
        }
        let mut merged = original.clone();
        for value in patch.iter().filter(|v| !original.contains(v)) {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return Ok(order::arrange(merged, &patch, &original, ""));
    }
    if rule.merge_key.is_empty() {
        let name = rule.child.and_then(|c| c.item()).map(|i| i.type_name.to_string()).unwrap_or_default();
        return Err(format!("cannot merge lists without merge key for {name}"));
    }
    let (original, patch) = special_elements(original, patch, rule.merge_key)?;
    let merged = merge_elements(original.clone(), &patch, rule)?;
    Ok(order::arrange(merged, &patch, &original, rule.merge_key))
}

/// Whether the elements are maps; lists may not mix kinds.
pub(super) fn has_maps(original: &[Value], patch: &[Value]) -> Result<bool> {
    let mut elements = original.iter().chain(patch);
    let Some(first) = elements.next() else { return Ok(false) };
    let kind = go_text::kind_name(first);
    for element in elements {
        let other = go_text::kind_name(element);
        if other != kind {
            return Err(format!(
                "list element types are not identical: {}, {}",
                go_text::type_name(first),
                go_text::type_name(element)
            ));
        }
    }
    match kind {
        "slice" => Err("not supporting lists of lists".to_owned()),
        kind => Ok(kind == "map"),
    }
}

/// Acts on the elements that are directives and returns what is left to merge.
fn special_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for element in patch {
        let Some(directive) = element.get(DIRECTIVE) else {
            rest.push(element);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let wanted = merge_value(&element, key)?;
                original.retain(|v| v.get(key) != Some(wanted));
            }
            Some("replace") => replace = true,
            Some("merge") => return Err("merging lists cannot yet be specified in the patch".to_owned()),
            _ => {
                return Err(match element.as_object() {
                    Some(map) => unknown_directive(directive, map),
                    None => String::new(),
                });
            }
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

fn merge_elements(mut original: Vec<Value>, patch: &[Value], rule: &Rule<'_>) -> Result<Vec<Value>> {
    let item = rule.child.and_then(|c| c.item()).map(|i| &**i);
    for element in patch {
        let wanted = merge_value(element, rule.merge_key)?;
        let found = original.iter_mut().find(|v| v.get(rule.merge_key) == Some(wanted));
        match (found, element) {
            (Some(slot), Value::Object(change)) => {
                if let Value::Object(before) = slot.take() {
                    *slot = Value::Object(merge_map(before, change.clone(), item)?);
                }
            }
            (None, element) => original.extend(without_directives(element.clone())),
            _ => {}
        }
    }
    Ok(original)
}

/// The value of the merge key, which every element must have.
pub(super) fn merge_value<'v>(element: &'v Value, key: &str) -> Result<&'v Value> {
    element
        .get(key)
        .ok_or_else(|| format!("map: {} does not contain declared merge key: {key}", go_text::plain(element)))
}
