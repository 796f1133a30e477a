//! How much of what an object uses.

use api_types::quantity::{Format, Quantity};
use serde_json::Value;

use crate::admission::plugins::pod_resources::{Amounts, pod_total, quantity};
use crate::admission::plugins::support::{list, text};
use crate::admission::{Operation, Request};

/// Core resources that are also counted under their bare name.
const COUNTED_BY_NAME: [&str; 7] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];

/// Whether a request can use quota at all.
pub(super) fn is_counted(request: &Request<'_>) -> bool {
    if request.resource.plural == "events" {
        return false;
    }
    let core = request.resource.group.is_empty();
    match (request.operation, request.subresource) {
        (Operation::Create, "") => true,
        (Operation::Update, "") => {
            core && matches!(&*request.resource.plural, "services" | "persistentvolumeclaims")
        }
        (Operation::Update, "resize") => core && request.resource.plural == "pods",
        _ => false,
    }
}

/// What the request uses more than before; nothing where it uses less, for that is the controller's to find
/// out.
pub(super) fn delta(request: &Request<'_>, object: &Value) -> Amounts {
    let (group, resource) = (&*request.resource.group, &*request.resource.plural);
    let mut usage = of(group, resource, object);
    if let Some(old) = request.old_object {
        for (name, before) in of(group, resource, old) {
            if let Some(now) = usage.get_mut(&name) {
                *now -= before;
            }
        }
    }
    usage.retain(|_, amount| amount.signum() > 0);
    usage
}

/// What an object uses.
pub(super) fn of(group: &str, resource: &str, object: &Value) -> Amounts {
    let mut usage = Amounts::new();
    let mut count = |name: String, amount: i64| {
        usage.insert(name, Quantity::new(amount, Format::DecimalSi));
    };
    match group {
        "" => count(format!("count/{resource}"), 1),
        group => count(format!("count/{resource}.{group}"), 1),
    }
    if group.is_empty() && COUNTED_BY_NAME.contains(&resource) {
        count(resource.to_owned(), 1);
    }
    match (group, resource) {
        ("", "services") => service(object, &mut usage),
        ("", "persistentvolumeclaims") => claim(object, &mut usage),
        ("", "pods") => {
            let spec = &object["spec"];
            compute(&pod_total(spec, "requests"), &pod_total(spec, "limits"), &mut usage);
        }
        _ => {}
    }
    usage
}

/// Requests and limits under the names that quotas give them.
pub(super) fn compute(requests: &Amounts, limits: &Amounts, usage: &mut Amounts) {
    for (name, amount) in requests {
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                usage.insert(name.clone(), *amount);
                usage.insert(format!("requests.{name}"), *amount);
            }
            huge if huge.starts_with("hugepages-") => {
                usage.insert(name.clone(), *amount);
                usage.insert(format!("requests.{name}"), *amount);
            }
            extended if extended.contains('/') => {
                usage.insert(format!("requests.{name}"), *amount);
            }
            _ => {}
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}"), *amount);
        }
    }
}

fn service(service: &Value, usage: &mut Amounts) {
    let ports = list(service, "/spec/ports");
    let count = |n: usize| Quantity::new(i64::try_from(n).unwrap_or(i64::MAX), Format::DecimalSi);
    let node_ports = match text(service, "/spec/type") {
        "NodePort" => ports.len(),
        "LoadBalancer" => {
            usage.insert("services.loadbalancers".into(), count(1));
            if service["spec"]["allocateLoadBalancerNodePorts"] == false {
                ports.iter().filter(|p| p["nodePort"].as_i64().unwrap_or_default() != 0).count()
            } else {
                ports.len()
            }
        }
        _ => 0,
    };
    usage.insert("services.nodeports".into(), count(node_ports));
}

fn claim(claim: &Value, usage: &mut Amounts) {
    let class = text(claim, "/spec/storageClassName");
    let prefixed = |name: &str| format!("{class}.storageclass.storage.k8s.io/{name}");
    if !class.is_empty() {
        usage.insert(prefixed("persistentvolumeclaims"), Quantity::new(1, Format::DecimalSi));
    }
    let requested = claim.pointer("/spec/resources/requests/storage").and_then(quantity);
    // While a volume is made larger, what is allocated may be more than what is asked for.
    let allocated = claim.pointer("/status/allocatedResources/storage").and_then(quantity);
    if let Some(storage) = requested.into_iter().chain(allocated).max() {
        usage.insert("requests.storage".into(), storage);
        if !class.is_empty() {
            usage.insert(prefixed("requests.storage"), storage);
        }
    }
}
