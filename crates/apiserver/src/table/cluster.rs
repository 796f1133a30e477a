//! Nodes, namespaces, and what the cluster's own parts tell about themselves.

use std::collections::BTreeSet;

use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, UNKNOWN, UNSET, View, cells, condition, text, with_more};

pub const PRINTERS: &[PrinterRow] = &[
    ("", "nodes", node),
    ("", "namespaces", namespace),
    ("", "componentstatuses", component_status),
    ("node.k8s.io", "runtimeclasses", runtime_class),
    ("scheduling.k8s.io", "priorityclasses", priority_class),
    ("coordination.k8s.io", "leases", lease),
    ("coordination.k8s.io", "leasecandidates", lease_candidate),
    ("apiregistration.k8s.io", "apiservices", api_service),
    ("internal.apiserver.k8s.io", "storageversions", storage_version),
];

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

fn node(view: &View<'_>) -> Vec<Value> {
    let ready = match condition(view.object, "Ready") {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let schedulable = if view.flag("spec.unschedulable", false) { ",SchedulingDisabled" } else { "" };
    let info = |name: &str| {
        let value = text(view.get("status.nodeInfo"), name);
        if value.is_empty() { UNKNOWN } else { value }
    };
    let kernel = match text(view.get("status.nodeInfo"), "architecture") {
        "" => info("kernelVersion").to_owned(),
        architecture => format!("{} ({architecture})", info("kernelVersion")),
    };
    cells![
        view.name(),
        format!("{ready}{schedulable}"),
        roles(view),
        view.age(),
        view.text("status.nodeInfo.kubeletVersion"),
        address(view, "InternalIP"),
        address(view, "ExternalIP"),
        info("osImage"),
        kernel,
        info("containerRuntimeVersion"),
    ]
}

fn roles(view: &View<'_>) -> String {
    let labels = view.get("metadata.labels").as_object();
    let roles = labels.into_iter().flatten().filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role),
        None if key == ROLE_LABEL => value.as_str(),
        None => None,
    });
    let roles: BTreeSet<&str> = roles.filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { NONE.to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address<'a>(view: &View<'a>, type_: &str) -> &'a str {
    let addresses = view.list("status.addresses").iter();
    addresses
        .filter(|address| address["type"] == type_)
        .map(|address| text(address, "address"))
        .next()
        .unwrap_or(NONE)
}

fn namespace(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.text("status.phase"), view.age()]
}

fn component_status(view: &View<'_>) -> Vec<Value> {
    let healthy = view.list("conditions").iter().find(|condition| condition["type"] == "Healthy");
    let status = match healthy {
        Some(condition) if condition["status"] == "True" => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let part = |name| healthy.map(|condition| text(condition, name)).unwrap_or_default();
    cells![view.name(), status, part("message"), part("error")]
}

fn runtime_class(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.text("handler"), view.age()]
}

fn priority_class(view: &View<'_>) -> Vec<Value> {
    cells![
        view.name(),
        view.int("value"),
        view.flag("globalDefault", false),
        view.age(),
        view.text("preemptionPolicy"),
    ]
}

fn lease(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.text("spec.holderIdentity"), view.age()]
}

fn lease_candidate(view: &View<'_>) -> Vec<Value> {
    cells![
        view.name(),
        view.text("spec.leaseName"),
        view.text("spec.binaryVersion"),
        view.text("spec.emulationVersion"),
        view.age(),
    ]
}

fn api_service(view: &View<'_>) -> Vec<Value> {
    let service = match view.get("spec.service") {
        Value::Null => "Local".to_owned(),
        service => format!("{}/{}", text(service, "namespace"), text(service, "name")),
    };
    let available = match condition(view.object, "Available") {
        None => "Unknown".to_owned(),
        Some(condition) => match (text(condition, "status"), text(condition, "reason")) {
            ("True", _) => "True".to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    cells![view.name(), service, available, view.age()]
}

fn storage_version(view: &View<'_>) -> Vec<Value> {
    let versions = view.list("status.storageVersions").iter();
    let versions = versions
        .map(|version| format!("{}={}", text(version, "apiServerID"), text(version, "encodingVersion")));
    cells![
        view.name(),
        view.text_or("status.commonEncodingVersion", UNSET),
        with_more(versions, 3, ",", UNSET),
        view.age(),
    ]
}
