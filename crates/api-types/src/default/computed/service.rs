//! Services.

use serde_json::{Value, json};

use super::{Object, child, children, is_nil, is_unset, text};

/// Three hours: how long a client stays with a backend.
const AFFINITY_SECONDS: i64 = 10_800;

pub(super) fn service(service: &mut Object) {
    let Some(spec) = child(service, "spec") else { return };
    for (name, value) in [("sessionAffinity", "None"), ("type", "ClusterIP")] {
        if is_unset(spec, name) {
            spec.insert(name.into(), value.into());
        }
    }
    affinity(spec);
    for port in children(spec, "ports") {
        let number = port.get("port").cloned().unwrap_or_default();
        let target = port.entry("targetPort").or_insert(Value::Null);
        if target.is_null() || *target == 0 || *target == "" {
            *target = number;
        }
    }
    policies(spec);
    if text(spec, "type") == "LoadBalancer" {
        ingress_modes(service);
    }
}

fn affinity(spec: &mut Object) {
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let set = spec
                .get("sessionAffinityConfig")
                .and_then(|c| c.get("clientIP"))
                .and_then(|c| c.get("timeoutSeconds"));
            if set.is_none_or(Value::is_null) {
                spec.insert(
                    "sessionAffinityConfig".into(),
                    json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}),
                );
            }
        }
        _ => {}
    }
}

fn policies(spec: &mut Object) {
    let kind = text(spec, "type").to_string();
    let external = match kind.as_str() {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !is_unset(spec, "externalIPs"),
        _ => false,
    };
    if external && is_unset(spec, "externalTrafficPolicy") {
        spec.insert("externalTrafficPolicy".into(), "Cluster".into());
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP")
        && is_nil(spec, "internalTrafficPolicy")
    {
        spec.insert("internalTrafficPolicy".into(), "Cluster".into());
    }
    if kind == "LoadBalancer" && is_nil(spec, "allocateLoadBalancerNodePorts") {
        spec.insert("allocateLoadBalancerNodePorts".into(), true.into());
    }
}

/// An address of a load balancer is a virtual one unless it says otherwise (KEP-1860).
fn ingress_modes(service: &mut Object) {
    let Some(balancer) = child(service, "status").and_then(|s| child(s, "loadBalancer")) else { return };
    for ingress in children(balancer, "ingress") {
        if !is_unset(ingress, "ip") && is_nil(ingress, "ipMode") {
            ingress.insert("ipMode".into(), "VIP".into());
        }
    }
}
