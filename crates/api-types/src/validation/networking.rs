//! Ingresses, their classes, and network policies.

use serde_json::Value;

use super::Validator;
use super::check::{self, immutable};
use super::get::{get, int, items, text, texts};
use super::selector::label_selector;
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `Ingress`.
pub static INGRESS: Validator =
    Validator { name: name::subdomain_rule, create: ingress, update: |new, _| ingress(new) };
/// Rules of `IngressClass`.
pub static INGRESS_CLASS: Validator = Validator {
    name: name::subdomain_rule,
    create: ingress_class,
    update: |new, old| {
        let mut errors = ErrorList::new();
        immutable(&mut errors, &SPEC, &new["spec"], &old["spec"], "controller");
        class_parameters(&mut errors, &new["spec"]);
        errors
    },
};
/// Rules of `NetworkPolicy`.
pub static NETWORK_POLICY: Validator =
    Validator { name: name::subdomain_rule, create: network_policy, update: |new, _| network_policy(new) };

const SPEC: Path<'static> = Path::new("spec");
const CONTROLLER_MAX: usize = 250;

fn ingress(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    if items(spec, "rules").is_empty() && get(spec, "defaultBackend").is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(&SPEC, spec.get("rules").cloned().unwrap_or(Value::Null), detail);
    }
    if let Some(backend) = get(spec, "defaultBackend") {
        validate_backend(&mut errors, &SPEC.child("defaultBackend"), backend);
    }
    let path = SPEC.child("rules");
    for (i, rule) in items(spec, "rules").iter().enumerate() {
        validate_rule(&mut errors, &path.index(i), rule);
    }
    let path = SPEC.child("tls");
    for (i, tls) in items(spec, "tls").iter().enumerate() {
        let path = path.index(i);
        let at = path.child("hosts");
        for (i, host) in texts(tls, "hosts").enumerate() {
            validate_host(&mut errors, &at.index(i), host);
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            errors.invalid_each(&path.child("secretName"), secret, name::dns1123_subdomain(secret));
        }
    }
    if let Some(class) = get(spec, "ingressClassName").and_then(Value::as_str) {
        errors.invalid_each(&SPEC.child("ingressClassName"), class, name::dns1123_subdomain(class));
    }
    errors
}

fn validate_host(errors: &mut ErrorList, path: &Path<'_>, host: &str) {
    let wrong = if host.contains('*') {
        name::wildcard_dns1123_subdomain(host)
    } else {
        name::dns1123_subdomain(host)
    };
    errors.invalid_each(path, host, wrong);
}

fn validate_rule(errors: &mut ErrorList, path: &Path<'_>, rule: &Value) {
    let host = text(rule, "host");
    if !host.is_empty() {
        if host.parse::<std::net::IpAddr>().is_ok() {
            errors.invalid(&path.child("host"), host, "must be a DNS name, not an IP address");
        }
        validate_host(errors, &path.child("host"), host);
    }
    let Some(http) = get(rule, "http") else { return };
    let path = path.child("http.paths");
    let paths = items(http, "paths");
    if paths.is_empty() {
        errors.required(&path, "");
    }
    for (i, item) in paths.iter().enumerate() {
        validate_path(errors, &path.index(i), item);
    }
}

fn validate_path(errors: &mut ErrorList, path: &Path<'_>, item: &Value) {
    const TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
    let (value, at) = (text(item, "path"), path.child("path"));
    match get(item, "pathType").and_then(Value::as_str) {
        None => errors.required(&path.child("pathType"), "pathType must be specified"),
        Some("Exact" | "Prefix") => {
            if !value.starts_with('/') {
                errors.invalid(&at, value, "must be an absolute path");
            }
            if !value.is_empty() {
                for part in ["//", "/./", "/../", "%2f", "%2F"] {
                    if value.contains(part) {
                        errors.invalid(&at, value, format!("must not contain '{part}'"));
                    }
                }
                for end in ["/..", "/."] {
                    if value.ends_with(end) {
                        errors.invalid(&at, value, format!("cannot end with '{end}'"));
                    }
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !value.is_empty() && !value.starts_with('/') {
                errors.invalid(&at, value, "must be an absolute path");
            }
        }
        Some(other) => errors.not_supported(&path.child("pathType"), other, &TYPES),
    }
    validate_backend(errors, &path.child("backend"), &item["backend"]);
}

fn validate_backend(errors: &mut ErrorList, path: &Path<'_>, backend: &Value) {
    match (get(backend, "resource"), get(backend, "service")) {
        (Some(_), Some(_)) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (Some(resource), None) => {
            let path = path.child("resource");
            for key in ["kind", "name"] {
                if text(resource, key).is_empty() {
                    errors.required(&path.child(key), "");
                }
            }
        }
        (None, Some(service)) => {
            let at = path.child("service");
            let name = text(service, "name");
            if name.is_empty() {
                errors.required(&at.child("name"), "");
            } else {
                errors.invalid_each(&at.child("name"), name, name::dns1123_label(name));
            }
            let port = &service["port"];
            let (port_name, number) = (text(port, "name"), int(port, "number").unwrap_or(0));
            match (port_name.is_empty(), number) {
                (false, 0) => {
                    errors.invalid_each(&at.child("port.name"), port_name, name::port_name(port_name))
                }
                (false, _) => errors.invalid(path, "", "cannot set both port name & port number"),
                (true, 0) => errors.required(path, "port name or number is required"),
                (true, _) => errors.invalid_each(&at.child("port.number"), number, name::port_number(number)),
            }
        }
        (None, None) => errors.required(path, "resource or service backend is required"),
    }
}

fn ingress_class(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = SPEC.child("controller");
    let controller = text(&object["spec"], "controller");
    if controller.len() > CONTROLLER_MAX {
        errors.too_long(&path, CONTROLLER_MAX);
    }
    match controller.split_once('/') {
        _ if controller.is_empty() => errors.required(&path, ""),
        Some((domain, rest)) if !rest.is_empty() => {
            errors.invalid_each(&path, domain, name::dns1123_subdomain(domain));
        }
        _ => errors.invalid(&path, controller, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    class_parameters(&mut errors, &object["spec"]);
    errors
}

fn class_parameters(errors: &mut ErrorList, spec: &Value) {
    let Some(parameters) = get(spec, "parameters") else { return };
    let path = SPEC.child("parameters");
    let group = text(parameters, "apiGroup");
    if !group.is_empty() {
        errors.invalid_each(&path.child("apiGroup"), group, name::dns1123_subdomain(group));
    }
    for key in ["kind", "name"] {
        check::path_segment(errors, &path.child(key), text(parameters, key));
    }
    let (scope, namespace) = (text(parameters, "scope"), text(parameters, "namespace"));
    match scope {
        "" => errors.required(&path.child("scope"), ""),
        "Namespace" if namespace.is_empty() => {
            errors.required(&path.child("namespace"), "`parameters.scope` is set to 'Namespace'");
        }
        "Namespace" => {
            errors.invalid_each(&path.child("namespace"), namespace, name::dns1123_label(namespace));
        }
        "Cluster" if get(parameters, "namespace").is_some() => {
            errors.forbidden(&path.child("namespace"), "`parameters.scope` is set to 'Cluster'");
        }
        "Cluster" => {}
        other => errors.not_supported(&path.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

fn network_policy(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    label_selector(&mut errors, &SPEC.child("podSelector"), get(spec, "podSelector"));
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        let path = SPEC.child(list);
        for (i, rule) in items(spec, list).iter().enumerate() {
            let path = path.index(i);
            let at = path.child("ports");
            for (i, port) in items(rule, "ports").iter().enumerate() {
                policy_port(&mut errors, &at.index(i), port);
            }
            let at = path.child(peers);
            for (i, peer) in items(rule, peers).iter().enumerate() {
                policy_peer(&mut errors, &at.index(i), peer);
            }
        }
    }
    let path = SPEC.child("policyTypes");
    let types = items(spec, "policyTypes");
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        errors.invalid(&path, spec["policyTypes"].clone(), detail);
        return errors;
    }
    for (i, kind) in texts(spec, "policyTypes").enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            errors.not_supported(&path.index(i), kind, &["Ingress", "Egress"]);
        }
    }
    errors
}

fn policy_port(errors: &mut ErrorList, path: &Path<'_>, port: &Value) {
    let protocol = text(port, "protocol");
    check::one_of_if_set(errors, &path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    let end = int(port, "endPort");
    match get(port, "port") {
        None => {
            if end.is_some() {
                let detail = "may not be specified when `port` is not specified";
                errors.invalid(&path.child("endPort"), end.unwrap_or(0), detail);
            }
        }
        Some(Value::Number(number)) => {
            let number = number.as_i64().unwrap_or(0);
            errors.invalid_each(&path.child("port"), number, name::port_number(number));
            if let Some(end) = end {
                if end < number {
                    errors.invalid(&path.child("endPort"), number, "must be greater than or equal to `port`");
                }
                errors.invalid_each(&path.child("endPort"), end, name::port_number(end));
            }
        }
        Some(named) => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is non-numeric";
                errors.invalid(&path.child("endPort"), end, detail);
            }
            check::port(errors, &path.child("port"), Some(named));
        }
    }
}

fn policy_peer(errors: &mut ErrorList, path: &Path<'_>, peer: &Value) {
    let block = get(peer, "ipBlock");
    let mut found = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = get(peer, key) {
            found += 1;
            label_selector(errors, &path.child(key), Some(selector));
        }
    }
    if let Some(block) = block {
        ip_block(errors, &path.child("ipBlock"), block);
        if found > 0 {
            errors.forbidden(path, "may not specify both ipBlock and another peer");
        }
    } else if found == 0 {
        errors.required(path, "must specify a peer");
    }
}

fn ip_block(errors: &mut ErrorList, path: &Path<'_>, block: &Value) {
    let cidr = text(block, "cidr");
    if cidr.is_empty() {
        return errors.required(&path.child("cidr"), "");
    }
    check::cidr(errors, &path.child("cidr"), cidr);
    let at = path.child("except");
    for (i, except) in texts(block, "except").enumerate() {
        let at = at.index(i);
        match (check::parse_cidr(cidr), check::parse_cidr(except)) {
            (_, None) => check::cidr(errors, &at, except),
            (Some(outer), Some(inner)) if !strictly_within(inner, outer) => {
                errors.invalid(&at, except, "must be a strict subset of `cidr`");
            }
            _ => {}
        }
    }
}

fn strictly_within(inner: (std::net::IpAddr, u8), outer: (std::net::IpAddr, u8)) -> bool {
    let bits = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        std::net::IpAddr::V6(ip) => u128::from(ip),
    };
    let mask = if outer.1 == 0 { 0 } else { u128::MAX << (128 - u32::from(outer.1)) };
    inner.0.is_ipv4() == outer.0.is_ipv4()
        && inner.1 > outer.1
        && bits(inner.0) & mask == bits(outer.0) & mask
}
