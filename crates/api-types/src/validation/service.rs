//! Services.

use std::net::IpAddr;

use serde_json::Value;

use super::Validator;
use super::check;
use super::get::{get, int, items, text, texts};
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `Service`.
pub static SERVICE: Validator =
    Validator { name: name::label_rule, create, update: super::service_update::validate };

pub(super) const SPEC: Path<'static> = Path::new("spec");
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const KUBELET_PORT: i64 = 10250;
const AFFINITY_SECONDS_MAX: i64 = 86_400;

pub(super) fn is_headless(spec: &Value) -> bool {
    texts(spec, "clusterIPs").eq(["None"])
}

pub(super) fn create(service: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &service["spec"];
    let kind = text(spec, "type");
    topology_annotations(&mut errors, service);
    let ports = items(spec, "ports");
    if ports.is_empty() && !is_headless(spec) && kind != "ExternalName" {
        errors.required(&SPEC.child("ports"), "");
    }
    by_type(&mut errors, spec, kind);
    let path = SPEC.child("ports");
    let mut names: Vec<&str> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        validate_port(&mut errors, &path.index(i), port, ports.len() > 1, &mut names);
    }
    check::labels(&mut errors, &SPEC, spec, "selector");
    affinity(&mut errors, spec);
    errors.append(cluster_ips(service));
    external_ips(&mut errors, &SPEC.child("externalIPs"), spec);
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    check::one_of(&mut errors, &SPEC.child("type"), kind, &types);
    port_conflicts(&mut errors, &path, ports, kind);
    load_balancer(&mut errors, service, kind);
    traffic_policies(&mut errors, spec, kind);
    let distribution = text(spec, "trafficDistribution");
    check::one_of_if_set(
        &mut errors,
        &SPEC.child("trafficDistribution"),
        distribution,
        &["PreferClose", "PreferSameNode", "PreferSameZone"],
    );
    errors
}

/// The annotation has an old and a new name; where both are used, they agree.
fn topology_annotations(errors: &mut ErrorList, service: &Value) {
    const OLD: &str = "service.kubernetes.io/topology-aware-hints";
    const NEW: &str = "service.kubernetes.io/topology-mode";
    let annotations = &service["metadata"]["annotations"];
    if let (Some(old), Some(new)) = (get(annotations, OLD), get(annotations, NEW))
        && old != new
    {
        let path = Path::new("metadata.annotations");
        let detail = format!("must match annotations[{OLD}] when both are specified");
        errors.invalid(&path.key(NEW), new.clone(), detail);
    }
}

fn by_type(errors: &mut ErrorList, spec: &Value, kind: &str) {
    match kind {
        "LoadBalancer" | "NodePort" => {
            let path = SPEC.child("ports");
            for (i, port) in items(spec, "ports").iter().enumerate() {
                if kind == "LoadBalancer" && int(port, "port") == Some(KUBELET_PORT) {
                    let detail =
                        format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
                    errors.invalid(&path.index(i), KUBELET_PORT, detail);
                }
            }
            if is_headless(spec) {
                let detail = format!("may not be set to 'None' for {kind} services");
                errors.invalid(&SPEC.child("clusterIPs").index(0), "None", detail);
            }
        }
        "ExternalName" => {
            for key in ["clusterIPs", "ipFamilies"] {
                if !items(spec, key).is_empty() {
                    errors.forbidden(&SPEC.child(key), "may not be set for ExternalName services");
                }
            }
            if get(spec, "ipFamilyPolicy").is_some() {
                errors.forbidden(&SPEC.child("ipFamilyPolicy"), "may not be set for ExternalName services");
            }
            let name = text(spec, "externalName");
            check::subdomain(errors, &SPEC.child("externalName"), name.strip_suffix('.').unwrap_or(name));
        }
        _ => {}
    }
}

fn validate_port<'v>(
    errors: &mut ErrorList,
    path: &Path<'_>,
    port: &'v Value,
    need_name: bool,
    names: &mut Vec<&'v str>,
) {
    let name = text(port, "name");
    if name.is_empty() {
        if need_name {
            errors.required(&path.child("name"), "");
        }
    } else {
        errors.invalid_each(&path.child("name"), name, name::dns1123_label(name));
        if names.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        names.push(name);
    }
    let number = int(port, "port").unwrap_or(0);
    errors.invalid_each(&path.child("port"), number, name::port_number(number));
    check::one_of(errors, &path.child("protocol"), text(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    check::port(errors, &path.child("targetPort"), get(port, "targetPort"));
    if let Some(protocol) = get(port, "appProtocol").and_then(Value::as_str) {
        errors.invalid_each(&path.child("appProtocol"), protocol, name::qualified_name(protocol));
    }
}

fn affinity(errors: &mut ErrorList, spec: &Value) {
    let affinity = text(spec, "sessionAffinity");
    check::one_of(errors, &SPEC.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let path = SPEC.child("sessionAffinityConfig");
    let config = get(spec, "sessionAffinityConfig");
    match affinity {
        "ClientIP" => {
            let timeout = config.and_then(|c| get(c, "clientIP")).and_then(|c| int(c, "timeoutSeconds"));
            match timeout {
                None => errors.required(&path, "when session affinity type is ClientIP"),
                Some(seconds) if seconds <= 0 || seconds > AFFINITY_SECONDS_MAX => {
                    let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                    errors.invalid(&path.child("clientIP.timeoutSeconds"), seconds, detail);
                }
                Some(_) => {}
            }
        }
        "None" if config.is_some() => {
            errors.forbidden(&path, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

/// `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` agree with each other (KEP-563). Allocation asks too.
pub fn cluster_ips(service: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &service["spec"];
    if text(spec, "type") != "ExternalName" {
        addresses_and_families(&mut errors, spec);
    }
    errors
}

fn addresses_and_families(errors: &mut ErrorList, spec: &Value) {
    let path = SPEC.child("clusterIPs");
    let (first, all): (&str, Vec<&str>) = (text(spec, "clusterIP"), texts(spec, "clusterIPs").collect());
    let shown = || Value::from(all.iter().map(|ip| Value::from(*ip)).collect::<Vec<_>>());
    match (first.is_empty(), all.first()) {
        (true, Some(_)) => errors.invalid(&path, shown(), "must be empty when `clusterIP` is not specified"),
        (false, None) => errors.required(&path, ""),
        (false, Some(ip)) if *ip != first => {
            errors.invalid(&path, shown(), "first value must match `clusterIP`")
        }
        _ => {}
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    check::one_of_if_set(errors, &SPEC.child("ipFamilyPolicy"), text(spec, "ipFamilyPolicy"), &policies);
    let families: Vec<&str> = texts(spec, "ipFamilies").collect();
    let at = SPEC.child("ipFamilies");
    for (i, family) in families.iter().enumerate() {
        if !matches!(*family, "IPv4" | "IPv6") {
            errors.not_supported(&at.index(i), *family, &["IPv4", "IPv6"]);
        } else if families[..i].contains(family) {
            errors.duplicate(&at.index(i), *family);
        }
    }
    let before = errors.len();
    for (i, ip) in all.iter().enumerate() {
        if i == 0 && *ip == "None" {
            if all.len() > 1 {
                errors.invalid(&path, shown(), "'None' must be the first and only value");
            }
        } else {
            check::ip(errors, &path.index(i), ip);
        }
    }
    if all.len() > 2 {
        errors.invalid(&path, shown(), "may only hold up to 2 values");
    }
    if errors.len() > before || is_headless(spec) {
        return;
    }
    let parsed: Vec<IpAddr> = all.iter().filter_map(|ip| check::parse_ip(ip)).collect();
    if let [a, b] = parsed[..]
        && a.is_ipv4() == b.is_ipv4()
    {
        let detail = "may specify no more than one IP for each IP family";
        errors.invalid(&path, shown(), detail);
    }
    for (i, (ip, family)) in parsed.iter().zip(&families).enumerate() {
        if (*family == "IPv4") != ip.is_ipv4() {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.invalid(&path.index(i), all[i], detail);
        }
    }
}

fn external_ips(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    for (i, ip) in texts(spec, "externalIPs").enumerate() {
        let path = path.index(i);
        match check::parse_ip(ip) {
            None => check::ip(errors, &path, ip),
            Some(address) => {
                let before = errors.len();
                check::ip(errors, &path, ip);
                if errors.len() == before {
                    special_ip(errors, &path, ip, address);
                }
            }
        }
    }
}

/// Addresses that mean something else on every node.
pub(super) fn special_ip(errors: &mut ErrorList, path: &Path<'_>, shown: &str, ip: IpAddr) {
    if ip.is_unspecified() {
        errors.invalid(path, shown, format!("may not be unspecified ({shown})"));
    }
    if ip.is_loopback() {
        errors.invalid(path, shown, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        errors.invalid(path, shown, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errors.invalid(path, shown, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn port_conflicts(errors: &mut ErrorList, path: &Path<'_>, ports: &[Value], kind: &str) {
    let mut node_ports: Vec<(&str, i64)> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let Some(number) = int(port, "nodePort").filter(|n| *n != 0) else { continue };
        let at = path.index(i);
        let at = at.child("nodePort");
        match kind {
            "ClusterIP" => errors.forbidden(&at, "may not be used when `type` is 'ClusterIP'"),
            "ExternalName" => {}
            _ => {
                let key = (text(port, "protocol"), number);
                if node_ports.contains(&key) {
                    errors.duplicate(&at, number);
                }
                node_ports.push(key);
            }
        }
    }
    let mut seen: Vec<(&str, i64)> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let key = (text(port, "protocol"), int(port, "port").unwrap_or(0));
        if seen.contains(&key) {
            let shown = serde_json::json!({"protocol": key.0, "port": key.1});
            let fields = [
                ("Name", ""),
                ("Protocol", "protocol"),
                ("AppProtocol", ""),
                ("Port", "port"),
                ("TargetPort", ""),
                ("NodePort", ""),
            ];
            let text = check::go_struct_text(&shown, &fields)
                .replace("\"Name\":null", "\"Name\":\"\"")
                .replace("\"TargetPort\":null,\"NodePort\":null", "\"TargetPort\":0,\"NodePort\":0");
            errors.duplicate(&path.index(i), crate::field::BadValue::Raw(text));
        }
        seen.push(key);
    }
}

const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Ranges in the annotation, which counts where the field is empty.
fn annotated_ranges(errors: &mut ErrorList, service: &Value, is_balancer: bool) {
    let annotations = &service["metadata"]["annotations"];
    let Some(ranges) = get(annotations, SOURCE_RANGES).and_then(Value::as_str) else { return };
    let path = Path::new("metadata.annotations");
    let path = path.key(SOURCE_RANGES);
    if !is_balancer {
        errors.forbidden(&path, ONLY_LOAD_BALANCER);
    }
    for range in ranges.trim().split(',').filter(|_| !ranges.trim().is_empty()) {
        check::cidr(errors, &path, range.trim());
    }
}

fn load_balancer(errors: &mut ErrorList, service: &Value, kind: &str) {
    let spec = &service["spec"];
    let is_balancer = kind == "LoadBalancer";
    let ranges: Vec<&str> = texts(spec, "loadBalancerSourceRanges").collect();
    let path = SPEC.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !is_balancer {
        errors.forbidden(&path, ONLY_LOAD_BALANCER);
    }
    for (i, range) in ranges.iter().enumerate() {
        check::cidr(errors, &path.index(i), range.trim());
    }
    if ranges.is_empty() {
        annotated_ranges(errors, service, is_balancer);
    }
    let path = SPEC.child("allocateLoadBalancerNodePorts");
    match (is_balancer, get(spec, "allocateLoadBalancerNodePorts")) {
        (false, Some(_)) => errors.forbidden(&path, ONLY_LOAD_BALANCER),
        (true, None) => errors.required(&path, ""),
        _ => {}
    }
    if let Some(class) = get(spec, "loadBalancerClass").and_then(Value::as_str) {
        let path = SPEC.child("loadBalancerClass");
        if is_balancer {
            errors.invalid_each(&path, class, name::qualified_name(class));
        } else {
            errors.forbidden(&path, ONLY_LOAD_BALANCER);
        }
    }
}

fn traffic_policies(errors: &mut ErrorList, spec: &Value, kind: &str) {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let policy = text(spec, "externalTrafficPolicy");
    let path = SPEC.child("externalTrafficPolicy");
    let reachable = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !items(spec, "externalIPs").is_empty());
    if reachable {
        check::one_of(errors, &path, policy, &POLICIES);
    } else if !policy.is_empty() {
        errors.invalid(&path, policy, "may only be set for externally-accessible services");
    }
    let path = SPEC.child("healthCheckNodePort");
    let port = int(spec, "healthCheckNodePort").unwrap_or(0);
    if kind == "LoadBalancer" && policy == "Local" {
        // A port that the client left out is allocated later.
        if port != 0 {
            errors.invalid_each(&path, port, name::port_number(port));
        }
    } else if port != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(&path, port, detail);
    }
    let policy = text(spec, "internalTrafficPolicy");
    let path = SPEC.child("internalTrafficPolicy");
    if matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer") {
        check::one_of(errors, &path, policy, &POLICIES);
    } else {
        check::one_of_if_set(errors, &path, policy, &POLICIES);
    }
}
