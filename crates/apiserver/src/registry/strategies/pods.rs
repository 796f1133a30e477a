//! Pods: phase at creation, quality of service, graceful deletion.

mod label_keys;
mod resize;

use access::UserInfo;
use api_types::field::{Error, ErrorList, Path};
use api_types::quantity::Quantity;
use api_types::validation;
use serde_json::{Value, json};

use crate::registry::meta;
use crate::registry::options::DeleteOptions;
use crate::registry::strategy::{Base, Strategy, keep_field};

/// Pods.
pub struct Pods {
    base: Base,
    allow_privileged: bool,
}

impl Pods {
    /// The strategy of pods.
    pub fn new(base: Base, allow_privileged: bool) -> Self {
        Pods { base, allow_privileged }
    }
}

impl Strategy for Pods {
    fn base(&self) -> &Base {
        &self.base
    }

    fn receive(&self, object: &mut Value) {
        agree_on_addresses(object);
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        label_keys::merge(object);
        let qos = qos_class(object);
        object["status"] = json!({ "phase": "Pending", "qosClass": qos });
        if object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": null,
                "lastTransitionTime": meta::now(),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
    }

    fn prepare_subresource_update(&self, subresource: &str, object: &mut Value, old: &Value) {
        match subresource {
            "ephemeralcontainers" => self.prepare_ephemeral_update(object, old),
            "resize" => self.prepare_resize(object, old),
            _ => {
                keep_field(object, old, "spec");
                meta::keep(object, old, "ownerReferences");
                let qos = old.pointer("/status/qosClass").cloned();
                if let (Some(qos), Some(status)) =
                    (qos, object.get_mut("status").and_then(Value::as_object_mut))
                {
                    status.entry("qosClass").or_insert(qos);
                }
            }
        }
    }

    fn validate_create(&self, object: &Value) -> ErrorList {
        if self.allow_privileged { ErrorList::new() } else { privileged_containers(object) }
    }

    fn validate_update(&self, subresource: &str, object: &Value, old: &Value) -> ErrorList {
        match subresource {
            "resize" => resize::check(object, old),
            "ephemeralcontainers" => validation::pod_ephemeral_update(object, old),
            _ => ErrorList::new(),
        }
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::pod(object, old)
    }

    fn grace_period(&self, object: &Value, options: &DeleteOptions) -> Option<i64> {
        let asked = options
            .grace_period_secs
            .or_else(|| object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64))
            .unwrap_or(0);
        let unscheduled =
            object.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default().is_empty();
        let phase = object.pointer("/status/phase").and_then(Value::as_str);
        let ended = matches!(phase, Some("Failed" | "Succeeded"));
        Some(match asked {
            _ if unscheduled || ended => 0,
            secs if secs < 0 => 1,
            secs => secs,
        })
    }
}

impl Pods {
    /// Only the ephemeral containers are the client's.
    fn prepare_ephemeral_update(&self, object: &mut Value, old: &Value) {
        let wanted = object.pointer("/spec/ephemeralContainers").cloned();
        let managed = meta::field(object, "managedFields").cloned();
        *object = with_spec_field(old, "ephemeralContainers", wanted);
        meta::set(object, "managedFields", managed);
    }

    /// Only the containers' resources and resize policies are the client's.
    fn prepare_resize(&self, object: &mut Value, old: &Value) {
        let mut resized = old.clone();
        for list in ["containers", "initContainers"] {
            let wanted: Vec<Value> = object["spec"][list].as_array().cloned().unwrap_or_default();
            let path = format!("/spec/{list}");
            for container in resized.pointer_mut(&path).and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(wish) = wanted.iter().find(|c| c["name"] == container["name"]) else { continue };
                for key in ["resources", "resizePolicy"] {
                    keep_field(container, wish, key);
                }
            }
        }
        meta::set(&mut resized, "managedFields", meta::field(object, "managedFields").cloned());
        *object = resized;
    }
}

/// `status.podIP` is the first of `status.podIPs`; where they differ, the old field counts.
fn agree_on_addresses(pod: &mut Value) {
    let Some(status) = pod.get_mut("status").and_then(Value::as_object_mut) else { return };
    for (one, many) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let single = status.get(one).and_then(Value::as_str).unwrap_or_default().to_owned();
        let first = status.get(many).and_then(|list| list[0]["ip"].as_str()).unwrap_or_default().to_owned();
        if single.is_empty() && !first.is_empty() {
            status.insert(one.into(), first.into());
        } else if one == "podIP" && !single.is_empty() && single != first {
            status.insert(many.into(), json!([{ "ip": single }]));
        }
    }
}

/// `--allow-privileged=false`
fn privileged_containers(pod: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = Path::new("spec");
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let path = spec.child(list);
        for (i, container) in pod["spec"][list].as_array().into_iter().flatten().enumerate() {
            if container["securityContext"]["privileged"] == true {
                let at = path.index(i);
                let at = at.child("securityContext.privileged");
                errors.push(Error::forbidden(&at, "disallowed by cluster policy"));
            }
        }
    }
    errors
}

fn with_spec_field(old: &Value, key: &str, value: Option<Value>) -> Value {
    let mut object = old.clone();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        match value {
            Some(value) => spec.insert(key.to_owned(), value),
            None => spec.remove(key),
        };
    }
    object
}

/// `Guaranteed`, `Burstable` or `BestEffort`, from the containers' (or the pod's) cpu and memory.
pub fn qos_class(pod: &Value) -> &'static str {
    const RESOURCES: [&str; 2] = ["cpu", "memory"];
    let spec = &pod["spec"];
    let of_pod = |kind: &str| RESOURCES.iter().any(|r| is_set(&spec["resources"][kind][*r]));
    let pod_level = of_pod("requests") || of_pod("limits");
    let containers: Vec<&Value> = match pod_level {
        true => vec![spec],
        false => ["containers", "initContainers"]
            .iter()
            .flat_map(|list| spec[*list].as_array().into_iter().flatten())
            .collect(),
    };
    let mut any = false;
    let mut all_equal = !containers.is_empty();
    for container in containers {
        for resource in RESOURCES {
            let (request, limit) =
                (&container["resources"]["requests"][resource], &container["resources"]["limits"][resource]);
            any |= is_set(request) || is_set(limit);
            all_equal &= is_set(limit) && (request.is_null() || same(request, limit));
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn same(a: &Value, b: &Value) -> bool {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Quantity>().ok());
    a == b || parse(a).is_some_and(|a| parse(b) == Some(a))
}

/// A quantity that is present and not zero.
fn is_set(quantity: &Value) -> bool {
    quantity.as_str().is_some_and(|text| !text.trim_start_matches('0').is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
        assert_eq!(qos_class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let limits = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(qos_class(&pod(limits)), "Guaranteed");
        assert_eq!(qos_class(&pod(json!({"limits": {"cpu": "1"}}))), "Burstable");
    }
}
