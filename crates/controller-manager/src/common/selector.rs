//! Label selectors of controllers.

use std::collections::BTreeMap;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use api_types::selector::Selector;

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// The labels of an object; empty when it has none.
pub fn labels(meta: &ObjectMeta) -> &BTreeMap<String, String> {
    meta.labels.as_ref().unwrap_or(&NO_LABELS)
}

/// A controller's selector. What the server could not have accepted, and the empty selector, match nothing.
pub fn of(selector: &LabelSelector) -> Selector {
    match Selector::from_label_selector(Some(selector)) {
        Ok(selector) if !selector.is_everything() => selector,
        _ => Selector::nothing(),
    }
}

/// A selector from equality pairs; none match nothing.
pub fn of_map(pairs: Option<&BTreeMap<String, String>>) -> Selector {
    match pairs {
        Some(pairs) if !pairs.is_empty() => Selector::from_map(pairs.clone()),
        _ => Selector::nothing(),
    }
}

/// Whether an object's labels match.
pub fn matches(selector: &Selector, meta: &ObjectMeta) -> bool {
    selector.matches(labels(meta))
}
