//! Dynamic resource allocation (KEP-4381), and groups of pods that are scheduled together.

use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, UNKNOWN, UNSET, View, cells, text};

const GROUP: &str = "resource.k8s.io";

pub const PRINTERS: &[PrinterRow] = &[
    (GROUP, "deviceclasses", named),
    (GROUP, "resourceclaims", resource_claim),
    (GROUP, "resourceclaimtemplates", named),
    (GROUP, "resourceslices", resource_slice),
    (GROUP, "devicetaintrules", taint_rule),
    (GROUP, "resourcepoolstatusrequests", pool_status),
    ("scheduling.k8s.io", "podgroups", pod_group),
    ("scheduling.k8s.io", "workloads", named),
];

fn named(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.age()]
}

fn resource_claim(view: &View<'_>) -> Vec<Value> {
    let allocated = view.get("status.allocation").is_object();
    let states = [
        ("deleted", view.is_deleted()),
        ("pending", !allocated && !view.is_deleted()),
        ("allocated", allocated),
        ("reserved", allocated && view.count("status.reservedFor") > 0),
    ];
    let states: Vec<&str> = states.into_iter().filter(|(_, is)| *is).map(|(state, _)| state).collect();
    cells![view.name(), states.join(","), view.age()]
}

fn resource_slice(view: &View<'_>) -> Vec<Value> {
    cells![
        view.name(),
        view.text("spec.nodeName"),
        view.text("spec.driver"),
        view.text("spec.pool.name"),
        view.age(),
    ]
}

fn taint_rule(view: &View<'_>) -> Vec<Value> {
    let added = match view.get("spec.taint.timeAdded") {
        Value::Null => UNKNOWN.to_owned(),
        moment => view.since(moment),
    };
    cells![
        view.name(),
        view.text("spec.taint.key"),
        view.text("spec.taint.value"),
        view.text("spec.taint.effect"),
        added,
        view.age(),
    ]
}

fn pool_status(view: &View<'_>) -> Vec<Value> {
    let pools = view.list("status.pools");
    let sum = |field: &str| -> Value {
        let numbers = pools.iter().filter_map(|pool| pool[field].as_i64());
        if pools.is_empty() { NONE.into() } else { numbers.sum::<i64>().to_string().into() }
    };
    let errors = pools.iter().filter(|pool| !text(pool, "validationError").is_empty()).count();
    let complete = view.list("status.conditions").iter().find(|condition| condition["status"] == "True");
    cells![
        view.name(),
        view.text("spec.driver"),
        sum("totalDevices"),
        sum("availableDevices"),
        sum("allocatedDevices"),
        sum("unavailableDevices"),
        errors.to_string(),
        pools.len(),
        complete.map_or("Pending", |condition| text(condition, "type")),
        complete.map_or_else(|| NONE.to_owned(), |condition| view.since(&condition["lastTransitionTime"])),
    ]
}

fn pod_group(view: &View<'_>) -> Vec<Value> {
    let policies = view.get("spec.schedulingPolicy").as_object();
    let policy = policies.and_then(|policies| policies.keys().next()).map_or(UNSET, String::as_str);
    let state = view.list("status.conditions").last();
    cells![
        view.name(),
        policy,
        view.text_or("spec.podGroupTemplateRef.workload.workloadName", NONE),
        state.map_or(UNKNOWN, |condition| text(condition, "reason")),
        view.age(),
    ]
}
