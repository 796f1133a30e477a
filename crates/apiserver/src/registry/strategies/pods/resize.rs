//! What a resize of a running pod may change (KEP-1287).

use api_types::field::{Error, ErrorList, Path};
use api_types::validation;
use serde_json::{Map, Value};

use super::qos_class;

/// Marks the mirrors of static pods, whose files say what they are.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Checks a pod whose containers' resources were changed.
pub fn check(pod: &Value, old: &Value) -> ErrorList {
    let spec = Path::new("spec");
    for (found, what) in [
        (!old["metadata"]["annotations"][MIRROR].is_null(), "static pods cannot be resized"),
        (old["spec"]["os"]["name"] == "windows", "windows pods cannot be resized"),
    ] {
        if found {
            return Error::forbidden(&Path::ROOT, what).into();
        }
    }
    let mut errors = validation::pod_spec(pod);
    let class = qos_class(old);
    if class != qos_class(pod) {
        errors.push(Error::invalid(&spec, class, "Pod QOS Class may not change as a result of resizing"));
        return errors;
    }
    if changes_more_than_cpu_and_memory(pod, old) {
        errors.push(Error::forbidden(&spec, "only cpu and memory resources are mutable"));
    }
    for list in ["containers", "initContainers"] {
        let path = spec.child(list);
        for (i, (container, before)) in pairs(pod, old, list).enumerate() {
            let resources = path.index(i);
            let resources = resources.child("resources");
            for (kind, why) in [
                ("requests", "resource requests cannot be removed"),
                ("limits", "resource limits cannot be removed"),
            ] {
                if removes(&container["resources"][kind], &before["resources"][kind]) {
                    errors.push(Error::forbidden(&resources.child(kind), why));
                }
            }
        }
    }
    errors
}

fn pairs<'a>(pod: &'a Value, old: &'a Value, list: &str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let items = |pod: &'a Value| pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    items(pod).iter().zip(items(old))
}

fn removes(now: &Value, before: &Value) -> bool {
    let has = |map: &Value, key: &str| map.get(key).is_some();
    ["cpu", "memory"].iter().any(|key| has(before, key) && !has(now, key))
}

fn changes_more_than_cpu_and_memory(pod: &Value, old: &Value) -> bool {
    let others = |resources: &Value, kind: &str| -> Map<String, Value> {
        let map = resources[kind].as_object().cloned().unwrap_or_default();
        map.into_iter().filter(|(key, _)| key != "cpu" && key != "memory").collect()
    };
    ["containers", "initContainers"].iter().any(|list| {
        pairs(pod, old, list).any(|(now, before)| {
            ["requests", "limits"]
                .iter()
                .any(|kind| others(&now["resources"], kind) != others(&before["resources"], kind))
        })
    })
}
