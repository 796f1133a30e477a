//! HorizontalPodAutoscalers.

use serde_json::{Map as JsonMap, Value, json};

use super::{Object, child, is_nil, is_unset};

/// `autoscaling/v1` knows one metric, and keeps others in an annotation.
pub(super) fn autoscaler_v1(autoscaler: &mut Object) {
    let annotations = autoscaler.get("metadata").and_then(|m| m.get("annotations"));
    if annotations.and_then(|a| a.get("autoscaling.alpha.kubernetes.io/metrics")).is_some() {
        return;
    }
    if let Some(spec) = child(autoscaler, "spec")
        && is_nil(spec, "targetCPUUtilizationPercentage")
    {
        spec.insert("targetCPUUtilizationPercentage".into(), 80.into());
    }
}

/// Without metrics, 80 % of the requested CPU; with `behavior`, what each direction leaves open.
pub(super) fn autoscaler_spec(spec: &mut Object) {
    if is_unset(spec, "metrics") {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert(
            "metrics".into(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
        );
    }
    let Some(behavior) = child(spec, "behavior") else { return };
    let up = json!({
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    });
    // How long scaling down waits is the controller's flag unless it is set here.
    let down = json!({
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    });
    for (name, defaults) in [("scaleUp", up), ("scaleDown", down)] {
        if is_nil(behavior, name) {
            behavior.insert(name.into(), Value::Object(JsonMap::new()));
        }
        if let (Some(rules), Value::Object(defaults)) = (child(behavior, name), defaults) {
            for (field, value) in defaults {
                if is_nil(rules, &field) {
                    rules.insert(field, value);
                }
            }
        }
    }
}
