//! What judges requests: webhooks, admission policies, priority levels.

use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, UNSET, View, cells, condition, list, text};

const GROUP: &str = "admissionregistration.k8s.io";

pub const PRINTERS: &[PrinterRow] = &[
    (GROUP, "mutatingwebhookconfigurations", webhooks),
    (GROUP, "validatingwebhookconfigurations", webhooks),
    (GROUP, "validatingadmissionpolicies", |view| policy(view, "spec.validations")),
    (GROUP, "mutatingadmissionpolicies", |view| policy(view, "spec.mutations")),
    (GROUP, "validatingadmissionpolicybindings", policy_binding),
    (GROUP, "mutatingadmissionpolicybindings", policy_binding),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", flow_schema),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", priority_level),
];

fn webhooks(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.count("webhooks"), view.age()]
}

fn policy(view: &View<'_>, rules: &str) -> Vec<Value> {
    let kind = match view.get("spec.paramKind") {
        Value::Null => UNSET.to_owned(),
        kind => format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")),
    };
    cells![view.name(), view.count(rules), kind, view.age()]
}

fn policy_binding(view: &View<'_>) -> Vec<Value> {
    let parameters = view.get("spec.paramRef");
    let shown = match (text(parameters, "namespace"), text(parameters, "name")) {
        _ if parameters.is_null() => UNSET.to_owned(),
        ("", "") | (_, "") => go_selector(&parameters["selector"]),
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    cells![view.name(), view.text("spec.policyName"), shown, view.age()]
}

/// A LabelSelector as Go's generated `String` method shows it, which clients get to see in this column.
fn go_selector(selector: &Value) -> String {
    if selector.is_null() {
        return "nil".to_owned();
    }
    let labels = selector["matchLabels"].as_object();
    let labels: String = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let expressions: String = list(selector, "matchExpressions")
        .iter()
        .map(|term| {
            let values: Vec<&str> = list(term, "values").iter().filter_map(Value::as_str).collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(term, "key"),
                text(term, "operator"),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn flow_schema(view: &View<'_>) -> Vec<Value> {
    let dangling = condition(view.object, "Dangling").map_or("?", |condition| text(condition, "status"));
    cells![
        view.name(),
        view.text_or("spec.priorityLevelConfiguration.name", NONE),
        view.int("spec.matchingPrecedence"),
        view.text_or("spec.distinguisherMethod.type", NONE),
        view.age(),
        dangling,
    ]
}

fn priority_level(view: &View<'_>) -> Vec<Value> {
    let number = |path: &str| view.get(path).as_i64().map_or_else(|| Value::from(NONE), Value::from);
    let shares = match view.get("spec.limited") {
        Value::Null => number("spec.exempt.nominalConcurrencyShares"),
        _ => number("spec.limited.nominalConcurrencyShares"),
    };
    let queuing = |field: &str| number(&format!("spec.limited.limitResponse.queuing.{field}"));
    cells![
        view.name(),
        view.text("spec.type"),
        shares,
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        view.age(),
    ]
}
