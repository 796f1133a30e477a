//! What applications bring along: config maps, secrets, service accounts; quotas; and events.

use serde_json::Value;

use super::PrinterRow;
use super::view::{UNKNOWN, View, cells, or, text};

pub const PRINTERS: &[PrinterRow] = &[
    ("", "configmaps", config_map),
    ("", "secrets", secret),
    ("", "serviceaccounts", service_account),
    ("", "resourcequotas", resource_quota),
    ("", "events", event),
];

fn config_map(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.count("data") + view.count("binaryData"), view.age()]
}

fn secret(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.text("type"), view.count("data"), view.age()]
}

fn service_account(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.age()]
}

fn resource_quota(view: &View<'_>) -> Vec<Value> {
    let used = view.get("status.used");
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in view.get("status.hard").as_object().into_iter().flatten() {
        let used = used[resource].as_str().unwrap_or("0");
        let line = format!("{resource}: {used}/{}", hard.as_str().unwrap_or("0"));
        match resource.starts_with("limits.") {
            true => limits.push(line),
            false => requests.push(line),
        }
    }
    cells![view.name(), requests.join(", "), limits.join(", "), view.age()]
}

fn event(view: &View<'_>) -> Vec<Value> {
    let either = |first: &str, second: &str| match view.since(view.get(first)) {
        unknown if unknown == UNKNOWN => view.since(view.get(second)),
        known => known,
    };
    let first = either("firstTimestamp", "eventTime");
    let mut last = view.since(view.get("lastTimestamp"));
    if last == UNKNOWN {
        last.clone_from(&first);
    }
    let mut count = view.int("count");
    let series = view.get("series");
    if series.is_object() {
        last = view.since(&series["lastObservedTime"]);
        count = series["count"].as_i64().unwrap_or_default();
    } else if count == 0 {
        // An event of the newer API that has happened once.
        count = 1;
    }
    let about = view.get("involvedObject");
    let target = match text(about, "name") {
        "" => text(about, "kind").to_lowercase(),
        name => format!("{}/{name}", text(about, "kind").to_lowercase()),
    };
    cells![
        last,
        view.text("type"),
        view.text("reason"),
        target,
        text(about, "fieldPath"),
        event_source(view),
        view.text("message").trim(),
        first,
        count,
        view.name(),
    ]
}

fn event_source(view: &View<'_>) -> String {
    let component = or(view.text("source.component"), view.text("reportingComponent"));
    match or(view.text("source.host"), view.text("reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}
