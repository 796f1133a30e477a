//! What a pod asks for in all.

use std::collections::BTreeMap;

use api_types::quantity::Quantity;
use serde_json::Value;

use super::support::{list, text};

/// Amounts by resource name.
pub(super) type Amounts = BTreeMap<String, Quantity>;

/// The amounts of a JSON map of quantities; what cannot be read is left out (validation refuses it).
pub(super) fn amounts(map: Option<&Value>) -> Amounts {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect()
}

/// A quantity written as text or as a number.
pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The pod's `requests` or `limits`: the larger of what its containers need together and what any init
/// container needs when it runs, sidecars counted with both (KEP-753), plus the runtime's overhead. Amounts
/// set for the pod as a whole replace the sums (KEP-2837).
pub(super) fn pod_total(spec: &Value, kind: &str) -> Amounts {
    let of = |container: &Value| amounts(container.pointer(&format!("/resources/{kind}")));
    let mut total = Amounts::new();
    for container in list(spec, "/containers") {
        add(&mut total, &of(container));
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for container in list(spec, "/initContainers") {
        let own = of(container);
        if text(container, "/restartPolicy") == "Always" {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut during = own;
            add(&mut during, &sidecars);
            raise(&mut peak, &during);
        }
    }
    raise(&mut total, &peak);
    for (name, amount) in amounts(spec.pointer(&format!("/resources/{kind}"))) {
        total.insert(name, amount);
    }
    let overhead = amounts(spec.get("overhead"));
    if kind == "requests" {
        add(&mut total, &overhead);
    } else {
        // A limit that is not set stays unlimited.
        for (name, amount) in overhead {
            if let Some(limit) = total.get_mut(&name).filter(|limit| !limit.is_zero()) {
                *limit += amount;
            }
        }
    }
    total
}

/// Adds amounts, resource by resource.
pub(super) fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        to.entry(name.clone()).and_modify(|sum| *sum += *amount).or_insert(*amount);
    }
}

fn raise(to: &mut Amounts, floor: &Amounts) {
    for (name, amount) in floor {
        to.entry(name.clone()).and_modify(|a| *a = (*a).max(*amount)).or_insert(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn totals() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let sidecar = |cpu: &str| json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
        let cases = [
            (json!({"containers": [container("1"), container("500m")]}), "1500m"),
            (json!({"containers": [container("1")], "initContainers": [container("3")]}), "3"),
            (json!({"containers": [container("1")], "initContainers": [sidecar("1"), container("3")]}), "4"),
            (json!({"containers": [container("1")], "initContainers": [sidecar("1")]}), "2"),
            (json!({"containers": [container("1")], "overhead": {"cpu": "250m"}}), "1250m"),
            (json!({"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}), "3"),
        ];
        for (spec, expected) in cases {
            let total = pod_total(&spec, "requests");
            assert_eq!(total["cpu"], Quantity::parse(expected).unwrap(), "{spec}");
        }
    }
}
