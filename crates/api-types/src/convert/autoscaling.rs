//! HorizontalPodAutoscaler: `autoscaling/v1` knows the CPU only and keeps the rest of v2 in annotations.

use serde_json::{Value, json};

use super::{Object, rename};
use crate::decode::typed_text;
use crate::schema;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// v2 and v1 names inside `behavior`, which the annotation spells as Go's internal type does, in its order.
const BEHAVIOR_NAMES: [&str; 4] = ["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"];
const POLICY_NAMES: [&str; 3] = ["type", "value", "periodSeconds"];

pub(super) fn to_v1(object: &mut Object) {
    let mut notes: Vec<(&str, String)> = Vec::new();
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        let metrics = take_list(spec, "metrics");
        if let Some(percent) = metrics.iter().find_map(|m| cpu_percent(m, "target")) {
            spec.insert("targetCPUUtilizationPercentage".into(), percent);
        }
        let others: Vec<Value> = metrics
            .into_iter()
            .filter(|m| cpu_percent(m, "target").is_none())
            .map(|m| metric_to_v1(m, &TARGETS))
            .collect();
        if !others.is_empty() {
            notes.push((METRICS, text_of("autoscaling/v1.MetricSpec", others)));
        }
        if let Some(behavior) = spec.remove("behavior").filter(|b| !b.is_null()) {
            notes.push((BEHAVIOR, behavior_text(&behavior)));
        }
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        let metrics = take_list(status, "currentMetrics");
        if let Some(percent) = metrics.iter().find_map(|m| cpu_percent(m, "current")) {
            status.insert("currentCPUUtilizationPercentage".into(), percent);
        }
        if !metrics.is_empty() {
            let all = metrics.into_iter().map(|m| metric_to_v1(m, &CURRENTS)).collect();
            notes.push((CURRENT_METRICS, text_of("autoscaling/v1.MetricStatus", all)));
        }
        let conditions = take_list(status, "conditions");
        if !conditions.is_empty() {
            notes.push((CONDITIONS, text_of("autoscaling/v1.HorizontalPodAutoscalerCondition", conditions)));
        }
    }
    drop_notes(object);
    if !notes.is_empty()
        && let Some(Value::Object(meta)) = object.get_mut("metadata")
    {
        let annotations = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Value::Object(annotations) = annotations {
            annotations.extend(notes.into_iter().map(|(name, text)| (name.to_string(), Value::String(text))));
        }
    }
}

pub(super) fn to_v2(object: &mut Object) {
    let note = |name: &str| -> Option<Value> {
        serde_json::from_str(object.get("metadata")?.get("annotations")?.get(name)?.as_str()?).ok()
    };
    let list = |value: Option<Value>| match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let mut metrics: Vec<Value> =
        list(note(METRICS)).into_iter().map(|m| metric_to_v2(m, &TARGETS)).collect();
    let mut current: Vec<Value> =
        list(note(CURRENT_METRICS)).into_iter().map(|m| metric_to_v2(m, &CURRENTS)).collect();
    let (conditions, behavior) = (note(CONDITIONS), note(BEHAVIOR));
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        let percent = spec.remove("targetCPUUtilizationPercentage").filter(|p| !p.is_null());
        // Without any metric the controller has always aimed at 80 %.
        if let Some(percent) = percent.or_else(|| metrics.is_empty().then(|| 80.into())) {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        }
        spec.insert("metrics".into(), Value::Array(metrics));
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), lower_names(behavior));
        }
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        let percent = status.remove("currentCPUUtilizationPercentage").filter(|p| !p.is_null());
        if let (true, Some(percent)) = (current.is_empty(), percent) {
            let value = json!({"averageUtilization": percent});
            current.push(json!({"type": "Resource", "resource": {"name": "cpu", "current": value}}));
        }
        if !current.is_empty() {
            status.insert("currentMetrics".into(), Value::Array(current));
        }
        if let Some(conditions) = conditions {
            status.insert("conditions".into(), conditions);
        }
    }
    drop_notes(object);
}

fn take_list(object: &mut Object, name: &str) -> Vec<Value> {
    match object.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn drop_notes(object: &mut Object) {
    if let Some(Value::Object(meta)) = object.get_mut("metadata")
        && let Some(Value::Object(annotations)) = meta.get_mut("annotations")
    {
        annotations
            .retain(|name, _| ![METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR].contains(&name.as_str()));
    }
}

/// The percentage of a metric that v1 has a field for.
fn cpu_percent(metric: &Value, side: &str) -> Option<Value> {
    let resource = metric.get("resource").filter(|r| r["name"] == "cpu" && metric["type"] == "Resource")?;
    resource.get(side)?.get("averageUtilization").filter(|u| !u.is_null()).cloned()
}

/// JSON text of a list as Go prints it.
fn text_of(item_type: &str, items: Vec<Value>) -> String {
    let node = schema::by_type(item_type).unwrap_or_default();
    let texts: Vec<String> = items.iter().map(|i| typed_text(&node, i)).collect();
    format!("[{}]", texts.join(","))
}

/// What v1 calls the parts of a metric's value: in specifications, and in the status.
struct Side {
    /// v2's name of the struct that holds the values.
    v2: &'static str,
    /// Per metric source: v2 name inside that struct, v1 name inside the source.
    object: [(&'static str, &'static str); 2],
    pods: [(&'static str, &'static str); 1],
    resource: [(&'static str, &'static str); 2],
    external: [(&'static str, &'static str); 2],
}

const TARGETS: Side = Side {
    v2: "target",
    object: [("value", "targetValue"), ("averageValue", "averageValue")],
    pods: [("averageValue", "targetAverageValue")],
    resource: [("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")],
    external: [("value", "targetValue"), ("averageValue", "targetAverageValue")],
};

const CURRENTS: Side = Side {
    v2: "current",
    object: [("value", "currentValue"), ("averageValue", "averageValue")],
    pods: [("averageValue", "currentAverageValue")],
    resource: [("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")],
    external: [("value", "currentValue"), ("averageValue", "currentAverageValue")],
};

impl Side {
    fn values(&self, source: &str) -> &[(&'static str, &'static str)] {
        match source {
            "object" => &self.object,
            "pods" => &self.pods,
            "external" => &self.external,
            _ => &self.resource,
        }
    }
}

/// v1's name of the selector of an external metric is its own.
fn identifier(source: &str) -> [(&'static str, &'static str); 2] {
    [("name", "metricName"), ("selector", if source == "external" { "metricSelector" } else { "selector" })]
}

fn metric_to_v1(mut metric: Value, side: &Side) -> Value {
    for (source, body) in metric.as_object_mut().into_iter().flatten() {
        let Value::Object(body) = body else { continue };
        if let Some(Value::Object(values)) = body.remove(side.v2) {
            for (v2, v1) in side.values(source) {
                if let Some(value) = values.get(*v2) {
                    body.insert((*v1).to_string(), value.clone());
                }
            }
        }
        if let Some(Value::Object(metric)) = body.remove("metric") {
            for (v2, v1) in identifier(source) {
                if let Some(value) = metric.get(v2) {
                    body.insert(v1.to_string(), value.clone());
                }
            }
        }
        rename(body, &[("describedObject", "target")]);
    }
    metric
}

fn metric_to_v2(mut metric: Value, side: &Side) -> Value {
    for (source, body) in metric.as_object_mut().into_iter().flatten() {
        let Value::Object(body) = body else { continue };
        if source == "object" {
            rename(body, &[("target", "describedObject")]);
        }
        let mut values = Object::new();
        for (v2, v1) in side.values(source) {
            if let Some(value) = body.remove(*v1).filter(|v| !v.is_null()) {
                values.insert((*v2).to_string(), value);
            }
        }
        if side.v2 == "target" {
            values.insert("type".into(), target_type(source, &values).into());
        }
        body.insert(side.v2.into(), Value::Object(values));
        if matches!(source.as_str(), "object" | "pods" | "external") {
            let named = identifier(source)
                .into_iter()
                .filter_map(|(v2, v1)| Some((v2.to_string(), body.remove(v1)?)));
            let named: Object = named.collect();
            body.insert("metric".into(), Value::Object(named));
        }
    }
    metric
}

fn target_type(source: &str, values: &Object) -> &'static str {
    match source {
        "object" if values.contains_key("averageValue") => "AverageValue",
        "external" if values.contains_key("value") => "Value",
        "object" => "Value",
        "resource" | "containerResource" if values.contains_key("averageUtilization") => "Utilization",
        _ => "AverageValue",
    }
}

/// `behavior` as its annotation spells it.
fn behavior_text(behavior: &Value) -> String {
    let rules = |name: &str| match behavior.get(name) {
        Some(rules @ Value::Object(_)) => upper(rules, &BEHAVIOR_NAMES),
        _ => "null".to_string(),
    };
    format!(r#"{{"ScaleUp":{},"ScaleDown":{}}}"#, rules("scaleUp"), rules("scaleDown"))
}

/// An object with Go's field names, in the given order.
fn upper(object: &Value, names: &[&str]) -> String {
    let members: Vec<String> = names
        .iter()
        .map(|name| {
            let text = match object.get(name).unwrap_or(&Value::Null) {
                Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(|i| upper(i, &POLICY_NAMES)).collect();
                    format!("[{}]", items.join(","))
                }
                other => other.to_string(),
            };
            format!(r#""{}{}":{text}"#, name[..1].to_uppercase(), &name[1..])
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The reverse: field names begin in lower case.
fn lower_names(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|c| c.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect::<String>(), lower_names(value))
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(lower_names).collect(),
        other => other,
    }
}
