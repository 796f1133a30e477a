//! Pods: phase at creation, quality of service, graceful deletion.

use serde_json::{Value, json};

use crate::registry::meta;
use crate::registry::options::DeleteOptions;
use crate::registry::strategy::{Strategy, Traits, keep_field, keep_status};

/// Pods.
pub struct Pods {
    traits: Traits,
}

impl Pods {
    /// The strategy of pods.
    pub fn new(traits: Traits) -> Self {
        Pods { traits }
    }
}

impl Strategy for Pods {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn prepare_create(&self, object: &mut Value) {
        let qos = qos_class(object);
        object["status"] = json!({ "phase": "Pending", "qosClass": qos });
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep_status(object, old);
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
        meta::keep(object, old, "ownerReferences");
        let qos = old.pointer("/status/qosClass").cloned();
        if let (Some(qos), Some(status)) = (qos, object.get_mut("status").and_then(Value::as_object_mut)) {
            status.entry("qosClass").or_insert(qos);
        }
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
            all_equal &= is_set(limit) && (request.is_null() || request == limit);
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
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
