//! Pods, and what workloads' templates have in common with them.

use serde_json::Value;

use super::containers::containers;
use super::page::{Page, items, or_none, text};
use super::volumes::volumes;
use crate::output::time::moment;

/// A pod.
pub fn pod(pod: &Value) -> Page {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    let mut page = Page::default();
    page.known("Name", &metadata["name"]);
    page.known("Namespace", &metadata["namespace"]);
    page.known("Priority", &spec["priority"]);
    page.known("Priority Class Name", &spec["priorityClassName"]);
    page.known("Runtime Class Name", &spec["runtimeClassName"]);
    page.known("Service Account", &spec["serviceAccountName"]);
    match spec["nodeName"].as_str().filter(|name| !name.is_empty()) {
        None => page.field("Node", "<none>"),
        Some(name) => page.field("Node", format!("{name}/{}", text(&status["hostIP"]))),
    }
    if status["startTime"].is_string() {
        page.field("Start Time", moment(&status["startTime"]));
    }
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    if metadata["deletionTimestamp"].is_string() {
        let since = crate::output::time::age(&metadata["deletionTimestamp"]);
        page.field("Status", format!("Terminating (lasts {since})"));
        page.field("Termination Grace Period", format!("{}s", metadata["deletionGracePeriodSeconds"]));
    } else {
        page.field("Status", text(&status["phase"]));
    }
    page.known("Reason", &status["reason"]);
    page.known("Message", &status["message"]);
    page.field("IP", text(&status["podIP"]));
    if items(&status["podIPs"]).is_empty() {
        page.field("IPs", "<none>");
    } else {
        page.line("IPs:");
        items(&status["podIPs"]).iter().for_each(|address| page.field("  IP", text(&address["ip"])));
    }
    super::controlled_by(&mut page, metadata);
    page.known("NominatedNodeName", &status["nominatedNodeName"]);
    let list = |page: &mut Page, heading, list: &str, statuses: &str| {
        if !items(&spec[list]).is_empty() {
            page.append(containers(heading, &spec[list], Some(&status[statuses]), pod, ""));
        }
    };
    list(&mut page, "Init Containers", "initContainers", "initContainerStatuses");
    list(&mut page, "Containers", "containers", "containerStatuses");
    list(&mut page, "Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses");
    for gate in items(&spec["readinessGates"]) {
        page.field("Readiness Gate", text(&gate["conditionType"]));
    }
    if !items(&status["conditions"]).is_empty() {
        page.line("Conditions:\n  Type\tStatus");
        for condition in items(&status["conditions"]) {
            page.line(format!("  {} \t{}", text(&condition["type"]), text(&condition["status"])));
        }
    }
    page.append(volumes(&spec["volumes"], ""));
    page.known("QoS Class", &status["qosClass"]);
    placement(&mut page, spec, "");
    page
}

/// Where a pod may run.
pub fn placement(page: &mut Page, spec: &Value, indent: &str) {
    page.pairs(&format!("{indent}Node-Selectors"), &spec["nodeSelector"]);
    let mut tolerations: Vec<String> = items(&spec["tolerations"]).iter().map(toleration).collect();
    tolerations.sort();
    page.list(&format!("{indent}Tolerations"), &tolerations);
    let spread: Vec<String> = items(&spec["topologySpreadConstraints"])
        .iter()
        .map(|constraint| {
            format!(
                "{}:{} when max skew {} is exceeded for selector {}",
                text(&constraint["topologyKey"]),
                text(&constraint["whenUnsatisfiable"]),
                constraint["maxSkew"],
                super::page::selector(&constraint["labelSelector"])
            )
        })
        .collect();
    if !spread.is_empty() {
        page.list(&format!("{indent}Topology Spread Constraints"), &spread);
    }
}

fn toleration(toleration: &Value) -> String {
    let mut shown = text(&toleration["key"]);
    let value = text(&toleration["value"]);
    if !value.is_empty() {
        shown.push_str(&format!("={value}"));
    }
    if let Some(effect) = toleration["effect"].as_str() {
        shown.push_str(&format!(":{effect}"));
    }
    if toleration["operator"] == "Exists" && value.is_empty() {
        shown.push_str(if shown.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        shown.push_str(&format!(" for {seconds}s"));
    }
    shown
}

/// A workload's template.
pub fn template(template: &Value) -> Page {
    let spec = &template["spec"];
    let mut page = Page::default();
    page.line("Pod Template:");
    page.pairs("  Labels", &template["metadata"]["labels"]);
    if template["metadata"]["annotations"].is_object() {
        page.annotations("  Annotations", &template["metadata"]["annotations"]);
    }
    page.known("  Service Account", &spec["serviceAccountName"]);
    if !items(&spec["initContainers"]).is_empty() {
        page.append(containers("Init Containers", &spec["initContainers"], None, template, "  "));
    }
    page.append(containers("Containers", &spec["containers"], None, template, "  "));
    page.append(volumes(&spec["volumes"], "  "));
    page.known("  Priority Class Name", &spec["priorityClassName"]);
    placement(&mut page, spec, "  ");
    page
}

/// `Name`, `Namespace`, `Labels` and `Annotations`, where all four come first.
pub fn head(object: &Value) -> Page {
    let metadata = &object["metadata"];
    let mut page = Page::default();
    page.field("Name", or_none(&metadata["name"]));
    page.known("Namespace", &metadata["namespace"]);
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    page
}
