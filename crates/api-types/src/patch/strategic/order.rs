//! The order of merged lists: the patch's order wins, elements that only the server has keep their place.

use serde_json::Value;

use super::{DIRECTIVE, ORDER_PREFIX, Object, list, rule, without_directives};
use crate::go_text;
use crate::schema::Schema;

type Result<T> = std::result::Result<T, String>;

/// Merges the lists for which the patch states an order, and takes both from the patch.
pub(super) fn merge_ordered_lists(
    original: &mut Object,
    patch: &mut Object,
    schema: Option<&Schema>,
) -> Result<()> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(ORDER_PREFIX)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let order = as_list(order)?;
        let key = &directive[ORDER_PREFIX.len()..];
        let before = original.get(key).cloned().map(as_list).transpose()?;
        let change = patch.remove(key).map(as_list).transpose()?;
        let rule = rule(schema, key);
        check_order(change.as_deref().unwrap_or_default(), &order, rule.merge_key)?;
        let merged = match (&before, change) {
            (Some(before), None) => before.clone(),
            (None, Some(change)) => match without_directives(Value::Array(change)) {
                Some(Value::Array(added)) => added,
                _ => Vec::new(),
            },
            (Some(before), Some(change)) => list::merge_by_rule(before.clone(), change, &rule, false)?,
            (None, None) => continue,
        };
        let arranged = arrange(merged, &order, before.as_deref().unwrap_or_default(), rule.merge_key);
        original.insert(key.to_owned(), Value::Array(arranged));
    }
    Ok(())
}

fn as_list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(format!("expected a []interface {{}}, but received a {}", go_text::kind_name(&other))),
    }
}

/// The elements of the patch must come in the stated order.
fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<()> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut places = order.iter();
    let is_deletion = |v: &Value| v.get(DIRECTIVE).is_some_and(|d| d == "delete");
    for element in patch.iter().filter(|v| !is_deletion(v)) {
        if !places.any(|place| same(place, element, key)) {
            let shown = |list: &[Value]| go_text::plain(&Value::Array(list.to_vec()));
            return Err(format!(
                "The order in patch list:\n{}\n doesn't match {} list:\n{}\n",
                shown(patch),
                ORDER_PREFIX.trim_end_matches('/'),
                shown(order)
            ));
        }
    }
    Ok(())
}

/// Puts the elements named by `wanted` into that order, and the others into the order of `server`; an element that
/// only the server has comes before one of the patch when it does so in `server`.
pub(super) fn arrange(merged: Vec<Value>, wanted: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    let place = |list: &[Value], value: &Value| list.iter().position(|v| same(v, value, key));
    let (mut patch, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|v| place(wanted, v).is_some());
    patch.sort_by_key(|v| place(wanted, v));
    rest.sort_by_key(|v| place(server, v).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(patch.len() + rest.len());
    let mut rest = rest.into_iter().peekable();
    for element in patch {
        let here = place(server, &element);
        while let Some(other) = rest.next_if(|other| here.is_some() && place(server, other) < here) {
            out.push(other);
        }
        out.push(element);
    }
    out.extend(rest);
    out
}

fn same(a: &Value, b: &Value, key: &str) -> bool {
    if key.is_empty() { a == b } else { a.get(key).is_some() && a.get(key) == b.get(key) }
}
