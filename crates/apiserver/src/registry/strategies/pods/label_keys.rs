//! `matchLabelKeys` and `mismatchLabelKeys`: at a pod's creation they become part of the selectors beside them (KEP-3633,
//! KEP-3243), so that whoever reads the pod later needs the selectors only.

use serde_json::{Map, Value, json};

/// Completes the selectors of affinity terms and topology spread constraints from the pod's own labels.
pub(super) fn merge(pod: &mut Value) {
    let Some(labels) = pod.pointer("/metadata/labels").and_then(Value::as_object).cloned() else { return };
    let Some(spec) = pod.get_mut("spec") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.pointer_mut(&format!("/affinity/{kind}")) else { continue };
        for term in list(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            complete(term, &labels);
        }
        for weighted in list(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                complete(term, &labels);
            }
        }
    }
    for constraint in list(spec, "topologySpreadConstraints") {
        complete(constraint, &labels);
    }
}

fn list<'a>(parent: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Adds a requirement for every key that the pod has a label for; without a selector there is nothing to narrow.
fn complete(term: &mut Value, labels: &Map<String, Value>) {
    let mut requirements = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.get(field).and_then(Value::as_array).into_iter().flatten() {
            if let Some(value) = key.as_str().and_then(|key| labels.get(key)) {
                requirements.push(json!({ "key": key, "operator": operator, "values": [value] }));
            }
        }
    }
    let Some(selector) = term.get_mut("labelSelector").and_then(Value::as_object_mut) else { return };
    if requirements.is_empty() {
        return;
    }
    let expressions = selector.entry("matchExpressions").or_insert_with(|| json!([]));
    if let Some(expressions) = expressions.as_array_mut() {
        expressions.extend(requirements);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_requirements() {
        let mut pod = json!({
            "metadata": { "labels": { "v": "2" } },
            "spec": {
                "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                    { "labelSelector": { "matchLabels": { "app": "web" } }, "mismatchLabelKeys": ["v", "absent"] },
                    { "matchLabelKeys": ["v"] },
                ] } },
                "topologySpreadConstraints": [{ "labelSelector": {}, "matchLabelKeys": ["v"] }],
            },
        });
        merge(&mut pod);
        let terms = &pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let requirement = |operator: &str| json!([{ "key": "v", "operator": operator, "values": ["2"] }]);
        assert_eq!(terms[0]["labelSelector"]["matchExpressions"], requirement("NotIn"));
        assert_eq!(terms[1], json!({ "matchLabelKeys": ["v"] }));
        let constraint = &pod["spec"]["topologySpreadConstraints"][0];
        assert_eq!(constraint["labelSelector"]["matchExpressions"], requirement("In"));
    }
}
