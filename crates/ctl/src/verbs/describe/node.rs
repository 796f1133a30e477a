//! Nodes: what they have, what is taken, how they are.

use api_types::quantity::Quantity;
use serde_json::Value;

use super::page::{Page, items, or_none, text};
use crate::error::Result;
use crate::output::time::{age, moment};
use crate::session::{Session, with_query};

/// A node, with its lease and its pods.
pub async fn node(session: &Session, node: &Value) -> Result<Page> {
    let name = text(&node["metadata"]["name"]);
    let lease =
        session.get(&format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")).await;
    let running = format!("spec.nodeName={name},status.phase!=Failed,status.phase!=Succeeded");
    let pods = session.get(&with_query("/api/v1/pods".into(), &[("fieldSelector", &running)])).await?;
    let mut page = head(node);
    match lease {
        Err(error) => page.field("Lease", format!("Failed to get lease: {}", error.cause())),
        Ok(lease) => {
            page.line("Lease:");
            page.field("  HolderIdentity", or_none(&lease["spec"]["holderIdentity"]));
            page.field("  AcquireTime", moment(&lease["spec"]["acquireTime"]));
            page.field("  RenewTime", moment(&lease["spec"]["renewTime"]));
        }
    }
    status(&mut page, node);
    usage(&mut page, node, items(&pods["items"]));
    Ok(page)
}

fn head(node: &Value) -> Page {
    const ROLE: &str = "node-role.kubernetes.io/";
    let (metadata, spec) = (&node["metadata"], &node["spec"]);
    let mut page = Page::default();
    page.field("Name", text(&metadata["name"]));
    let labels = metadata["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> = labels.filter_map(|(key, _)| key.strip_prefix(ROLE)).collect();
    page.field("Roles", if roles.is_empty() { "<none>".into() } else { roles.join(",") });
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    page.field("CreationTimestamp", moment(&metadata["creationTimestamp"]));
    let taint = |taint: &Value| {
        let value = taint["value"].as_str().map(|value| format!("={value}")).unwrap_or_default();
        format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
    };
    page.list("Taints", &items(&spec["taints"]).iter().map(taint).collect::<Vec<_>>());
    page.field("Unschedulable", spec["unschedulable"] == true);
    page
}

fn status(page: &mut Page, node: &Value) {
    let (spec, status) = (&node["spec"], &node["status"]);
    if !items(&status["conditions"]).is_empty() {
        page.line("Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
        page.line("  ----\t------\t-----------------\t------------------\t------\t-------");
        for condition in items(&status["conditions"]) {
            page.line(format!(
                "  {} \t{} \t{} \t{} \t{} \t{}",
                text(&condition["type"]),
                text(&condition["status"]),
                moment(&condition["lastHeartbeatTime"]),
                moment(&condition["lastTransitionTime"]),
                text(&condition["reason"]),
                text(&condition["message"])
            ));
        }
    }
    page.line("Addresses:");
    for address in items(&status["addresses"]) {
        page.field(&format!("  {}", text(&address["type"])), text(&address["address"]));
    }
    page.section("Capacity", &status["capacity"]);
    page.section("Allocatable", &status["allocatable"]);
    const INFO: [(&str, &str); 9] = [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ];
    page.line("System Info:");
    for (key, field) in INFO {
        page.field(&format!("  {key}"), text(&status["nodeInfo"][field]));
    }
    page.known("PodCIDR", &spec["podCIDR"]);
    if !items(&spec["podCIDRs"]).is_empty() {
        page.field("PodCIDRs", super::page::joined(&spec["podCIDRs"], ","));
    }
    page.known("ProviderID", &spec["providerID"]);
}

/// What the pods of a node ask for.
fn usage(page: &mut Page, node: &Value, pods: &[Value]) {
    let allocatable = &node["status"]["allocatable"];
    let share = |name: &str, amount: Quantity| {
        let whole = quantity(&allocatable[name]).to_f64();
        let percent = if whole > 0.0 { amount.to_f64() / whole * 100.0 } else { 0.0 };
        format!("{amount} ({}%)", percent.trunc())
    };
    page.line(format!("Non-terminated Pods:\t({} in total)", pods.len()));
    page.line("  Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    page.line("  ---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    for pod in pods {
        let cell = |list: &str, name: &str| share(name, demand(pod, list, name));
        page.line(format!(
            "  {}\t{}\t\t{}\t{}\t{}\t{}\t{}",
            text(&pod["metadata"]["namespace"]),
            text(&pod["metadata"]["name"]),
            cell("requests", "cpu"),
            cell("limits", "cpu"),
            cell("requests", "memory"),
            cell("limits", "memory"),
            age(&pod["metadata"]["creationTimestamp"])
        ));
    }
    page.line("Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    page.line("  Resource\tRequests\tLimits\n  --------\t--------\t------");
    let always = ["cpu", "memory", "ephemeral-storage"];
    let extended = allocatable.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let extended = extended.filter(|name| !always.contains(name) && *name != "pods");
    for name in always.into_iter().chain(extended) {
        let total = |list: &str| share(name, pods.iter().map(|pod| demand(pod, list, name)).sum());
        page.line(format!("  {name}\t{}\t{}", total("requests"), total("limits")));
    }
}

/// What a pod asks for: all its containers and sidecars at once, or the greediest init container, and its overhead.
fn demand(pod: &Value, list: &str, name: &str) -> Quantity {
    let spec = &pod["spec"];
    let of = |container: &Value| quantity(&container["resources"][list][name]);
    let (sidecars, inits): (Vec<_>, Vec<_>) =
        items(&spec["initContainers"]).iter().partition(|container| container["restartPolicy"] == "Always");
    let together: Quantity = items(&spec["containers"]).iter().chain(sidecars).map(of).sum();
    let greediest = inits.into_iter().map(of).max().unwrap_or(together);
    together.max(greediest) + quantity(&spec["overhead"][name])
}

fn quantity(value: &Value) -> Quantity {
    let parsed = Quantity::parse(value.as_str().unwrap_or("0"));
    parsed.unwrap_or_else(|_| std::iter::empty().sum())
}
