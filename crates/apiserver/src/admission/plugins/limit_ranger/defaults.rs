//! Default requests and limits of containers.

use serde_json::{Map, Value};

use crate::admission::plugins::support::{map_at, text};

/// Records on the pod what was set, for its owner to see.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Sets what the limits of type Container default and a container leaves out.
pub(super) fn apply(pod: &mut Value, limits: &[Value]) {
    let mut requests = Map::new();
    let mut maxima = Map::new();
    for limit in limits.iter().filter(|limit| text(limit, "/type") == "Container") {
        let entries = |field: &str| limit.get(field).and_then(Value::as_object).into_iter().flatten();
        entries("default").for_each(|(name, value)| drop(maxima.insert(name.clone(), value.clone())));
        entries("defaultRequest")
            .for_each(|(name, value)| drop(requests.insert(name.clone(), value.clone())));
    }
    let mut set = Vec::new();
    for (field, kind) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let name = text(container, "/name").to_owned();
            for (part, defaults) in [("requests", &requests), ("limits", &maxima)] {
                let added = fill(container, part, defaults);
                if !added.is_empty() {
                    let part = part.trim_end_matches('s');
                    set.push(format!("{} {part} for {kind} {name}", added.join(", ")));
                }
            }
        }
    }
    if !set.is_empty()
        && let Some(annotations) = map_at(&mut pod["metadata"], "annotations")
    {
        annotations
            .insert(ANNOTATION.to_owned(), format!("LimitRanger plugin set: {}", set.join("; ")).into());
    }
}

/// Adds the missing amounts; returns their names.
fn fill(container: &mut Value, part: &str, defaults: &Map<String, Value>) -> Vec<String> {
    if defaults.is_empty() {
        return Vec::new();
    }
    let Some(resources) = map_at(container, "resources") else { return Vec::new() };
    let slot = resources.entry(part).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    let Some(present) = slot.as_object_mut() else { return Vec::new() };
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| !present.contains_key(*name)).collect();
    let mut added: Vec<String> = missing.iter().map(|(name, _)| (*name).clone()).collect();
    present.extend(missing.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    added.sort_unstable();
    added
}
