//! Requests of a whole pod (KEP-2837, pod-level resources).

use serde_json::{Value, json};

use super::{Object, child, is_nil};
use crate::quantity::Quantity;

/// Where a pod sets limits of its own, its requests are what its containers request together, else its limits.
pub(super) fn requests(spec: &mut Object) {
    let Some(limits) =
        spec.get("resources").and_then(|r| r.get("limits")).and_then(Value::as_object).cloned()
    else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    let together: Vec<(String, Value)> = ["cpu", "memory"]
        .into_iter()
        .filter_map(|name| {
            container_requests(spec, name).map(|sum| (name.to_string(), Value::String(sum.to_string())))
        })
        .collect();
    let Some(resources) = child(spec, "resources") else { return };
    if is_nil(resources, "requests") {
        resources.insert("requests".into(), json!({}));
    }
    let Some(requests) = child(resources, "requests") else { return };
    for (name, quantity) in together {
        requests.entry(name).or_insert(quantity);
    }
    for (name, quantity) in limits {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            requests.entry(name).or_insert(quantity);
        }
    }
}

/// What the containers of a pod request of one resource: all that run together, or the most that starting takes.
fn container_requests(spec: &Object, resource: &str) -> Option<Quantity> {
    let request = |container: &Value| -> Option<Quantity> {
        container.get("resources")?.get("requests")?.get(resource)?.as_str()?.parse().ok()
    };
    let list = |name: &str| spec.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (mut running, mut sidecars, mut starting): (Option<Quantity>, Option<Quantity>, Option<Quantity>) =
        (None, None, None);
    for container in list("containers") {
        running = add(running, request(container));
    }
    for container in list("initContainers") {
        let own = request(container);
        let peak = if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            running = add(running, own);
            sidecars = add(sidecars, own);
            sidecars
        } else {
            add(sidecars, own)
        };
        starting = starting.max(peak);
    }
    running.max(starting)
}

fn add(a: Option<Quantity>, b: Option<Quantity>) -> Option<Quantity> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
