//! Endpoints, endpoint slices and events.

use serde_json::Value;

use super::Validator;
use super::check::{self, immutable, parse_ip};
use super::get::{get, int, items, text, texts};
use super::service::special_ip;
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `Endpoints`.
pub static ENDPOINTS: Validator =
    Validator { name: name::subdomain_rule, create: endpoints, update: |new, _| endpoints(new) };
/// Rules of `EndpointSlice`.
pub static ENDPOINT_SLICE: Validator = Validator {
    name: name::subdomain_rule,
    create: slice,
    update: |new, old| {
        let mut errors = slice(new);
        immutable(&mut errors, &Path::ROOT, new, old, "addressType");
        errors
    },
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const SLICE_ENDPOINTS_MAX: usize = 1000;
const SLICE_ADDRESSES_MAX: usize = 100;
const HINTS_MAX: usize = 8;

fn endpoints(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("subsets");
    for (i, subset) in items(object, "subsets").iter().enumerate() {
        let path = path.index(i);
        let (ready, waiting) = (items(subset, "addresses"), items(subset, "notReadyAddresses"));
        if ready.is_empty() && waiting.is_empty() {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for (key, list) in [("addresses", ready), ("notReadyAddresses", waiting)] {
            let path = path.child(key);
            for (i, address) in list.iter().enumerate() {
                endpoint_address(&mut errors, &path.index(i), address);
            }
        }
        let ports = items(subset, "ports");
        let at = path.child("ports");
        for (i, port) in ports.iter().enumerate() {
            endpoint_port(&mut errors, &at.index(i), port, ports.len() > 1);
        }
    }
    errors
}

fn endpoint_address(errors: &mut ErrorList, path: &Path<'_>, address: &Value) {
    let ip = text(address, "ip");
    let at = path.child("ip");
    check::ip(errors, &at, ip);
    let host = text(address, "hostname");
    if !host.is_empty() {
        errors.invalid_each(&path.child("hostname"), host, name::dns1123_label(host));
    }
    if let Some(node) = get(address, "nodeName").and_then(Value::as_str) {
        errors.invalid_each(&path.child("nodeName"), node, name::dns1123_subdomain(node));
    }
    match parse_ip(ip) {
        Some(parsed) => special_ip(errors, &at, ip, parsed),
        None => errors.invalid(&at, ip, "must be a valid IP address"),
    }
}

fn endpoint_port(errors: &mut ErrorList, path: &Path<'_>, port: &Value, need_name: bool) {
    let name = text(port, "name");
    if name.is_empty() {
        if need_name {
            errors.required(&path.child("name"), "");
        }
    } else {
        errors.invalid_each(&path.child("name"), name, name::dns1123_label(name));
    }
    let number = int(port, "port").unwrap_or(0);
    errors.invalid_each(&path.child("port"), number, name::port_number(number));
    check::one_of(errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
}

fn slice(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(object, "addressType");
    let path = Path::new("addressType");
    check::one_of(&mut errors, &path, kind, &["FQDN", "IPv4", "IPv6"]);
    if !errors.is_empty() {
        return errors;
    }
    let path = Path::new("endpoints");
    let all = items(object, "endpoints");
    if all.len() > SLICE_ENDPOINTS_MAX {
        errors.too_many(&path, all.len(), SLICE_ENDPOINTS_MAX);
        return errors;
    }
    for (i, endpoint) in all.iter().enumerate() {
        slice_endpoint(&mut errors, &path.index(i), endpoint, kind);
    }
    let path = Path::new("ports");
    let mut names: Vec<&str> = Vec::new();
    for (i, port) in items(object, "ports").iter().enumerate() {
        let path = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            errors.invalid_each(&path.child("name"), name, name::dns1123_label(name));
        }
        if names.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        names.push(name);
        check::one_of(&mut errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
        if let Some(protocol) = get(port, "appProtocol").and_then(Value::as_str) {
            errors.invalid_each(&path.child("appProtocol"), protocol, name::qualified_name(protocol));
        }
    }
    errors
}

fn slice_endpoint(errors: &mut ErrorList, path: &Path<'_>, endpoint: &Value, kind: &str) {
    let at = path.child("addresses");
    let addresses: Vec<&str> = texts(endpoint, "addresses").collect();
    if addresses.is_empty() {
        errors.required(&at, "must contain at least 1 address");
    } else if addresses.len() > SLICE_ADDRESSES_MAX {
        errors.too_many(&at, addresses.len(), SLICE_ADDRESSES_MAX);
    }
    for (i, address) in addresses.iter().enumerate() {
        if kind == "FQDN" {
            errors.invalid_each(&at.index(i), *address, name::dns1123_subdomain(address));
            continue;
        }
        match parse_ip(address) {
            None => check::ip(errors, &at.index(i), address),
            Some(ip) if ip.is_ipv4() != (kind == "IPv4") => {
                let article = if kind == "IPv4" { "an IPv4" } else { "an IPv6" };
                errors.invalid(&at, *address, format!("must be {article} address"));
            }
            Some(ip) => {
                check::ip(errors, &at.index(i), address);
                special_ip(errors, &at.index(i), address, ip);
            }
        }
    }
    if let Some(node) = get(endpoint, "nodeName").and_then(Value::as_str) {
        errors.invalid_each(&path.child("nodeName"), node, name::dns1123_subdomain(node));
    }
    if let Some(host) = get(endpoint, "hostname").and_then(Value::as_str) {
        errors.invalid_each(&path.child("hostname"), host, name::dns1123_label(host));
    }
    for (key, what) in [("forZones", "forZones"), ("forNodes", "forNodes")] {
        let Some(hints) = get(endpoint, "hints") else { continue };
        let at = path.child("hints");
        let at = at.child(what);
        let list = items(hints, key);
        if list.len() > HINTS_MAX {
            errors.too_many(&at, list.len(), HINTS_MAX);
            continue;
        }
        let mut seen: Vec<&str> = Vec::new();
        for (i, hint) in list.iter().enumerate() {
            let name = text(hint, "name");
            let at = at.index(i);
            if seen.contains(&name) {
                errors.duplicate(&at.child("name"), name);
            }
            seen.push(name);
            errors.invalid_each(&at.child("name"), name, name::label_value(name));
        }
    }
}

/// Rules of core `Event`s; those of `events.k8s.io` have stricter ones.
pub static EVENT: Validator =
    Validator { name: |_, _| Vec::new(), create: event_namespace, update: |new, _| event_namespace(new) };
/// Rules of `events.k8s.io` `Event`s.
pub static EVENTS_EVENT: Validator =
    Validator { name: name::subdomain_rule, create: event, update: event_update };

/// An event is in the namespace of what it is about, or in `default`.
fn event_namespace(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let own = text(&object["metadata"], "namespace");
    let about =
        if object.get("regarding").is_some() { &object["regarding"] } else { &object["involvedObject"] };
    let namespace = text(about, "namespace");
    let fits =
        if namespace.is_empty() { matches!(own, "default" | "kube-system" | "") } else { own == namespace };
    if !fits {
        let path = Path::new("involvedObject.namespace");
        errors.invalid(&path, namespace, "does not match event.namespace");
    }
    errors
}

fn event(object: &Value) -> ErrorList {
    const REASON_MAX: usize = 128;
    const NOTE_MAX: usize = 1024;
    let mut errors = event_namespace(object);
    if get(object, "eventTime").is_none() {
        errors.required(&Path::new("eventTime"), "");
    }
    let controller = text(object, "reportingController");
    if controller.is_empty() {
        errors.required(&Path::new("reportingController"), "");
    } else {
        errors.invalid_each(&Path::new("reportingController"), controller, name::qualified_name(controller));
    }
    for (key, shown) in
        [("reportingInstance", "reportingInstance"), ("action", "action"), ("reason", "reason")]
    {
        let value = text(object, key);
        if value.is_empty() {
            errors.required(&Path::new(shown), "");
        } else if value.len() > REASON_MAX {
            errors.invalid(&Path::new(shown), "", format!("can have at most {REASON_MAX} characters"));
        }
    }
    if text(object, "note").len() > NOTE_MAX {
        errors.invalid(&Path::new("message"), "", format!("can have at most {NOTE_MAX} characters"));
    }
    let kind = text(object, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid(&Path::new("type"), "", format!("has invalid value: {kind}"));
    }
    for (key, shown) in
        [("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp")]
    {
        if get(object, key).is_some() {
            errors.invalid(&Path::new(shown), "", "needs to be unset");
        }
    }
    if int(object, "deprecatedCount").unwrap_or(0) != 0 {
        errors.invalid(&Path::new("count"), "", "needs to be unset");
    }
    let source = &object["deprecatedSource"];
    if !text(source, "component").is_empty() || !text(source, "host").is_empty() {
        errors.invalid(&Path::new("source"), "", "needs to be unset");
    }
    errors
}

/// Only the series of an event changes.
fn event_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = event_namespace(new);
    let fields = [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ];
    for (key, shown) in fields {
        if get(new, key) != get(old, key) {
            let value = get(new, key).cloned().unwrap_or(Value::Null);
            errors.invalid(&Path::new(shown), value, check::IMMUTABLE);
        }
    }
    errors
}
