//! Fields of features that are off: dropped from what is written, unless the stored object has them already.
//!
//! Managed fields still name them, as upstream's do: they are dropped after the owners were recorded.

use api_types::resource::ResourceInfo;
use serde_json::{Map, Value};

/// A list of objects on the way, or a field, or a field that goes with its owner when that is empty then.
type Step = &'static str;

const TEMPLATE: [(&[Step], Step); 4] = [
    (&["containers[]", "lifecycle?"], "stopSignal"),
    (&["initContainers[]", "lifecycle?"], "stopSignal"),
    (&[], "schedulingGroup"),
    (&["volumes[]", "projected", "sources[]"], "clusterTrustBundle"),
];
const LEASE: [(&[Step], Step); 2] = [(&["spec"], "strategy"), (&["spec"], "preferredHolder")];
const STATEFUL_SET: [(&[Step], Step); 1] = [(&["spec", "updateStrategy", "rollingUpdate"], "maxUnavailable")];
const CLAIM: [(&[Step], Step); 1] = [(&["spec", "dataSourceRef"], "namespace")];
const CSI_DRIVER: [(&[Step], Step); 1] = [(&["spec"], "preventPodSchedulingIfMissing")];

/// Drops them.
pub fn drop_fields(info: &ResourceInfo, object: &mut Value, old: Option<&Value>) {
    let own: &[(&[Step], Step)] = match (&*info.group, &*info.plural) {
        ("coordination.k8s.io", "leases") => &LEASE,
        ("apps", "statefulsets") => &STATEFUL_SET,
        ("", "persistentvolumeclaims") => &CLAIM,
        ("storage.k8s.io", "csidrivers") => &CSI_DRIVER,
        _ => &[],
    };
    for (path, field) in own {
        drop_field(object, old, &[], path, field);
    }
    let spec: &[Step] = match (&*info.group, &*info.plural) {
        ("", "pods") => &["spec"],
        ("", "podtemplates") => &["template", "spec"],
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "daemonsets" | "statefulsets")
        | ("batch", "jobs") => &["spec", "template", "spec"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return,
    };
    for (path, field) in &TEMPLATE {
        drop_field(object, old, spec, path, field);
    }
}

fn drop_field(object: &mut Value, old: Option<&Value>, base: &[Step], path: &[Step], field: Step) {
    let Some(owner) = base.iter().try_fold(&mut *object, |value, step| value.get_mut(step)) else { return };
    if !has(owner, path, field) {
        return;
    }
    let stored = old.and_then(|old| base.iter().try_fold(old, |value, step| value.get(step)));
    if !stored.is_some_and(|stored| has(stored, path, field)) {
        remove(owner, path, field);
    }
}

fn has(value: &Value, path: &[Step], field: Step) -> bool {
    let [step, rest @ ..] = path else { return value.get(field).is_some() };
    match step.strip_suffix("[]") {
        Some(list) => {
            value.get(list).and_then(Value::as_array).into_iter().flatten().any(|v| has(v, rest, field))
        }
        None => value.get(step.trim_end_matches('?')).is_some_and(|value| has(value, rest, field)),
    }
}

fn remove(value: &mut Value, path: &[Step], field: Step) {
    let Some(map) = value.as_object_mut() else { return };
    let [step, rest @ ..] = path else {
        map.remove(field);
        return;
    };
    if let Some(list) = step.strip_suffix("[]") {
        for item in map.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            remove(item, rest, field);
        }
        return;
    }
    let name = step.trim_end_matches('?');
    let Some(child) = map.get_mut(name) else { return };
    remove(child, rest, field);
    if step.ends_with('?') && child.as_object().is_some_and(Map::is_empty) {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_unless_they_are_stored() {
        let with = json!({"spec": {"containers": [{"name": "a", "lifecycle": {"stopSignal": "SIGTERM"}}]}});
        let without = json!({"spec": {"containers": [{"name": "a"}]}});
        let (path, field) = TEMPLATE[0];
        let mut object = with.clone();
        drop_field(&mut object, None, &["spec"], path, field);
        assert_eq!(object, without);
        let mut object = with.clone();
        drop_field(&mut object, Some(&with), &["spec"], path, field);
        assert_eq!(object, with);
    }
}
