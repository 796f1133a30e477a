//! Scales, horizontal pod autoscalers and disruption budgets.

use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, UNKNOWN, UNSET, View, at, cells, text, with_more};

pub const PRINTERS: &[PrinterRow] = &[
    ("autoscaling", "horizontalpodautoscalers", autoscaler),
    ("policy", "poddisruptionbudgets", disruption_budget),
];

/// Metrics that are shown before "more".
const METRICS: usize = 2;

/// The subresource `scale`.
pub fn scale(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.int("spec.replicas"), view.int("status.replicas"), view.age()]
}

fn autoscaler(view: &View<'_>) -> Vec<Value> {
    let target = view.get("spec.scaleTargetRef");
    let current = view.list("status.currentMetrics");
    let metrics = view.list("spec.metrics").iter().enumerate();
    let metrics =
        metrics.map(|(index, metric)| metric_text(metric, current.get(index).unwrap_or(&Value::Null)));
    cells![
        view.name(),
        format!("{}/{}", text(target, "kind"), text(target, "name")),
        with_more(metrics, METRICS, ", ", NONE),
        view.int_or("spec.minReplicas", UNSET),
        view.int("spec.maxReplicas"),
        view.int("status.currentReplicas"),
        view.age(),
    ]
}

fn metric_text(metric: &Value, status: &Value) -> String {
    // The status lists metrics in the order of the spec; one of another type belongs to an earlier spec.
    let part = |value, path: &str| quantity(at(value, path));
    let (key, prefix) = match text(metric, "type") {
        "Pods" => {
            let target = part(metric, "pods.target.averageValue").unwrap_or_default();
            return format!(
                "{}/{target}",
                part(status, "pods.current.averageValue").unwrap_or(UNKNOWN.into())
            );
        }
        "External" => ("external", String::new()),
        "Object" => ("object", String::new()),
        "Resource" => ("resource", format!("{}: ", text(metric, "resource.name"))),
        "ContainerResource" => ("containerResource", format!("{}: ", text(metric, "containerResource.name"))),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (at(metric, key), at(status, key));
    let of_current = |path: &str| part(current, path).unwrap_or_else(|| UNKNOWN.to_owned());
    if let Some(average) = part(target, "target.averageValue") {
        let marker = if prefix.is_empty() { " (avg)" } else { "" };
        return format!("{prefix}{}/{average}{marker}", of_current("current.averageValue"));
    }
    if prefix.is_empty() {
        let value = part(target, "target.value").unwrap_or_default();
        return format!("{}/{value}", of_current("current.value"));
    }
    let percent = |value: &Value| value.as_i64().map(|percent| format!("{percent}%"));
    let present = percent(at(current, "current.averageUtilization")).unwrap_or_else(|| UNKNOWN.to_owned());
    let wanted = percent(at(target, "target.averageUtilization")).unwrap_or_else(|| "<auto>".to_owned());
    format!("{prefix}{present}/{wanted}")
}

/// A quantity as it is stored, which is its canonical form.
fn quantity(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn disruption_budget(view: &View<'_>) -> Vec<Value> {
    let amount = |path| quantity(view.get(path)).unwrap_or_else(|| "N/A".to_owned());
    cells![
        view.name(),
        amount("spec.minAvailable"),
        amount("spec.maxUnavailable"),
        view.int("status.disruptionsAllowed"),
        view.age(),
    ]
}
