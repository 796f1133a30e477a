//! Pods and their containers.

use serde_json::{Value, json};

use super::{Object, child, children, is_nil, is_unset, text};
use crate::quantity::Quantity;

/// Decimal exponent of a thousandth.
const MILLI: i32 = -3;

/// Images with the tag `latest`, written or implied, are pulled always.
pub(super) fn container(container: &mut Object) {
    if is_unset(container, "imagePullPolicy") {
        let policy = pull_policy(text(container, "image"));
        container.insert("imagePullPolicy".into(), policy.into());
    }
}

pub(super) fn image_volume(source: &mut Object) {
    if is_unset(source, "pullPolicy") {
        let policy = pull_policy(text(source, "reference"));
        source.insert("pullPolicy".into(), policy.into());
    }
}

fn pull_policy(image: &str) -> &'static str {
    // A digest pins the content, whatever the tag.
    if image.is_empty() || image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.rsplit_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// A volume without a source is an empty directory.
pub(super) fn volume(volume: &mut Object) {
    if volume.iter().all(|(name, value)| name == "name" || value.is_null()) {
        volume.insert("emptyDir".into(), json!({}));
    }
}

/// The old name of `serviceAccountName` says the same.
pub(super) fn pod_spec(spec: &mut Object) {
    let (new, old) = ("serviceAccountName", "serviceAccount");
    let name = match (text(spec, new), text(spec, old)) {
        ("", "") => return,
        ("", name) | (name, _) => name.to_string(),
    };
    spec.insert(old.into(), name.clone().into());
    spec.insert(new.into(), name.into());
}

/// Nothing finer than a thousandth is kept.
pub(super) fn resource_list(list: &mut Object) {
    for quantity in list.values_mut() {
        if let Some(fine) = quantity.as_str().filter(|q| q.ends_with(['n', 'u']))
            && let Ok(parsed) = Quantity::parse(fine)
        {
            *quantity = Value::String(parsed.round_up(MILLI).to_string());
        }
    }
}

/// Requests follow limits, and host ports follow container ports on the host's network.
pub(super) fn pod(pod: &mut Object) {
    let Some(spec) = child(pod, "spec") else { return };
    // Templates keep what they say.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|secs| secs < 0) {
        spec.insert("terminationGracePeriodSeconds".into(), 1.into());
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in children(spec, list) {
            if let Some(resources) = child(container, "resources") {
                requests_from_limits(resources);
            }
            if host_network {
                for port in children(container, "ports") {
                    let number = port.get("containerPort").cloned().unwrap_or_default();
                    let host_port = port.entry("hostPort").or_insert(Value::Null);
                    if (host_port.is_null() || *host_port == 0) && number != 0 {
                        *host_port = number;
                    }
                }
            }
        }
    }
    super::pod_level::requests(spec);
}

/// A resource that is limited but not requested is requested up to its limit.
fn requests_from_limits(resources: &mut Object) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if limits.is_empty() {
        return;
    }
    if is_nil(resources, "requests") {
        resources.insert("requests".into(), json!({}));
    }
    if let Some(requests) = child(resources, "requests") {
        for (name, quantity) in limits {
            requests.entry(name).or_insert(quantity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.25", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/a/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("nginx:latest@sha256:0123", "IfNotPresent"),
            ("", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
