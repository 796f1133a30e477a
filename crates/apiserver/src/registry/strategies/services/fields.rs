//! What a service's spec becomes before anything is allocated.
//!
//! Clients send back what they read, change the type and leave the rest; so an update keeps what was allocated and still
//! applies, and drops what belongs to the old type and was not changed.

use serde_json::{Map, Value};

/// `spec.type`
pub fn kind(service: &Value) -> &str {
    text(service, "type")
}

/// A text field of `spec`, "" when absent.
pub fn text<'a>(service: &'a Value, key: &str) -> &'a str {
    service["spec"][key].as_str().unwrap_or_default()
}

/// Whether the service is reached through a cluster IP (or is headless).
pub fn needs_cluster_ip(service: &Value) -> bool {
    matches!(kind(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Whether its ports have node ports.
pub fn needs_node_port(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

/// Whether it has a port for load balancers' health checks.
pub fn needs_health_check_port(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && text(service, "externalTrafficPolicy") == "Local"
}

fn needs_external_policy(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
        || service["spec"]["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty())
            && needs_cluster_ip(service)
}

/// The cluster IPs, of which `None` means headless.
pub fn cluster_ips(service: &Value) -> Vec<&str> {
    service["spec"]["clusterIPs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether the service asks for no address.
pub fn is_headless(service: &Value) -> bool {
    text(service, "clusterIP") == "None" || cluster_ips(service).first() == Some(&"None")
}

/// The ports.
pub fn ports(service: &Value) -> &[Value] {
    service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A port's node port, 0 when it has none.
pub fn node_port(port: &Value) -> u16 {
    port["nodePort"].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

fn spec(service: &mut Value) -> Option<&mut Map<String, Value>> {
    service.get_mut("spec")?.as_object_mut()
}

/// Takes over allocated values that the client left out.
pub fn keep_allocated(service: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(service) {
        if text(service, "clusterIP").is_empty() {
            copy(service, old, "clusterIP");
        }
        if cluster_ips(service).is_empty() && text(service, "clusterIP") == text(old, "clusterIP") {
            copy(service, old, "clusterIPs");
        }
    }
    if needs_node_port(old) && needs_node_port(service) {
        keep_node_ports(service, old);
    }
    if needs_health_check_port(old)
        && needs_health_check_port(service)
        && service["spec"]["healthCheckNodePort"].is_null()
    {
        copy(service, old, "healthCheckNodePort");
    }
}

/// By name: the client may have changed everything else about a port.
fn keep_node_ports(service: &mut Value, old: &Value) {
    let mut used: Vec<u16> = ports(service).iter().map(node_port).filter(|port| *port != 0).collect();
    let before: Vec<(String, u16)> = ports(old)
        .iter()
        .map(|p| (p["name"].as_str().unwrap_or_default().to_owned(), node_port(p)))
        .collect();
    let Some(list) = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else { return };
    for port in list.iter_mut().filter(|port| node_port(port) == 0) {
        let name = port["name"].as_str().unwrap_or_default();
        let Some((_, number)) = before.iter().find(|(n, number)| n == name && *number != 0) else { continue };
        if !used.contains(number) {
            used.push(*number);
            port["nodePort"] = (*number).into();
        }
    }
}

/// Makes `clusterIP` and `clusterIPs` agree: a client that knows only one of them changes both.
pub fn normalize(service: &mut Value, old: Option<&Value>) {
    let ip = text(service, "clusterIP").to_owned();
    let Some(old) = old else {
        if !ip.is_empty() && cluster_ips(service).is_empty() {
            set(service, "clusterIPs", Some(vec![ip].into()));
        }
        return;
    };
    let old_ip = text(old, "clusterIP");
    let same_list = cluster_ips(service) == cluster_ips(old);
    if ip.is_empty() && !old_ip.is_empty() && same_list {
        set(service, "clusterIPs", None);
    } else if ip != old_ip && same_list {
        set(service, "clusterIPs", Some(vec![ip].into()));
    } else if cluster_ips(service).is_empty() && !cluster_ips(old).is_empty() && ip == old_ip {
        set(service, "clusterIP", None);
    } else if cluster_ips(service).is_empty() && !ip.is_empty() {
        set(service, "clusterIPs", Some(vec![ip].into()));
    }
}

/// Drops what belonged to the old type and was sent back unchanged.
pub fn drop_foreign(service: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && !needs_cluster_ip(service) {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            drop_unchanged(service, old, key);
        }
    }
    if needs_node_port(old) && !needs_node_port(service) && same_node_ports(service, old) {
        for port in service.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
    if needs_health_check_port(old) && !needs_health_check_port(service) {
        drop_unchanged(service, old, "healthCheckNodePort");
    }
    if kind(old) == "LoadBalancer" && kind(service) != "LoadBalancer" {
        drop_unchanged(service, old, "allocateLoadBalancerNodePorts");
        drop_unchanged(service, old, "loadBalancerClass");
    }
    if needs_external_policy(old) && !needs_external_policy(service) {
        drop_unchanged(service, old, "externalTrafficPolicy");
    }
    if kind(old) != "ExternalName" && kind(service) == "ExternalName" {
        drop_unchanged(service, old, "internalTrafficPolicy");
    }
    if text(old, "sessionAffinity") == "ClientIP" && text(service, "sessionAffinity") != "ClientIP" {
        drop_unchanged(service, old, "sessionAffinityConfig");
    }
    if kind(old) == "ExternalName" && kind(service) != "ExternalName" {
        drop_unchanged(service, old, "externalName");
    }
}

fn same_node_ports(service: &Value, old: &Value) -> bool {
    let numbers = |service: &Value| ports(service).iter().map(node_port).collect::<Vec<_>>();
    numbers(service) == numbers(old)
}

fn drop_unchanged(service: &mut Value, old: &Value, key: &str) {
    if service["spec"].get(key) == old["spec"].get(key) {
        set(service, key, None);
    }
}

fn copy(service: &mut Value, old: &Value, key: &str) {
    set(service, key, old["spec"].get(key).cloned());
}

/// Sets or removes a field of `spec`.
pub fn set(service: &mut Value, key: &str, value: Option<Value>) {
    let Some(spec) = spec(service) else { return };
    match value {
        Some(value) => spec.insert(key.to_owned(), value),
        None => spec.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(spec: Value) -> Value {
        json!({ "spec": spec })
    }

    #[test]
    fn updates_keep_what_was_allocated() {
        let old = service(json!({"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ports": [{"name": "a", "port": 80, "nodePort": 30001}]}));
        let mut new = service(
            json!({"type": "NodePort", "ports": [{"name": "a", "port": 81}, {"name": "b", "port": 82}]}),
        );
        keep_allocated(&mut new, &old);
        normalize(&mut new, Some(&old));
        drop_foreign(&mut new, &old);
        assert_eq!(new["spec"]["clusterIPs"], json!(["10.0.0.9"]));
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
        assert_eq!(new["spec"]["ports"][1]["nodePort"], Value::Null);
    }

    #[test]
    fn another_type_drops_what_it_does_not_have() {
        let old = service(json!({"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "nodePort": 30001}]}));
        let mut new = old.clone();
        new["spec"]["type"] = "ClusterIP".into();
        drop_foreign(&mut new, &old);
        assert_eq!(new["spec"]["ports"], json!([{"port": 80}]));
        assert_eq!(new["spec"].get("externalTrafficPolicy"), None);
        new["spec"]["type"] = "ExternalName".into();
        drop_foreign(&mut new, &old);
        assert_eq!(new["spec"].get("clusterIP"), None);
        assert_eq!(new["spec"].get("clusterIPs"), None);
    }
}
