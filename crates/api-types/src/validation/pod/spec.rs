//! `PodSpec`, in upstream's order of checks.

use serde_json::Value;

use super::{container, os, resource_claims, resources, scheduling, security, volume};
use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::get::{get, int, items, text, texts};
use crate::validation::{check, selector};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const HOSTNAME_OVERRIDE_MAX: usize = 64;

/// All rules of a pod's spec, alone or in a template.
pub(in crate::validation) fn validate(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let volumes = volume::validate_all(errors, &path.child("volumes"), spec);
    resource_claims(errors, &path.child("resourceClaims"), spec);
    container::validate_all(errors, path, spec, &volumes);
    resources::pod_level(errors, &path.child("resources"), spec);
    check::one_of(errors, &path.child("restartPolicy"), text(spec, "restartPolicy"), &RESTART_POLICIES);
    check::one_of(errors, &path.child("dnsPolicy"), text(spec, "dnsPolicy"), &DNS_POLICIES);
    check::labels(errors, path, spec, "nodeSelector");
    security::pod(errors, path, spec);
    selector::affinity(errors, &path.child("affinity"), get(spec, "affinity"));
    dns_config(errors, &path.child("dnsConfig"), spec);
    readiness_gates(errors, &path.child("readinessGates"), spec);
    scheduling::gates(errors, &path.child("schedulingGates"), spec);
    scheduling::spread_constraints(errors, &path.child("topologySpreadConstraints"), spec);
    os::host_process(errors, path, spec);
    security::host_users(errors, path, spec);
    names(errors, path, spec);
    scheduling::tolerations(errors, &path.child("tolerations"), spec);
    host_aliases(errors, &path.child("hostAliases"), spec);
    for key in ["priorityClassName", "runtimeClassName"] {
        let value = text(spec, key);
        if !value.is_empty() {
            errors.invalid_each(&path.child(key), value, name::dns1123_subdomain(value));
        }
    }
    let policy = text(spec, "preemptionPolicy");
    check::one_of_if_set(errors, &path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    if let Some(overhead) = get(spec, "overhead") {
        // Upstream checks the overhead as the limits of a container.
        resources::list(errors, &path.child("overhead.limits"), overhead);
    }
    os::validate(errors, path, spec);
}

fn names(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    for key in ["serviceAccountName", "nodeName"] {
        let value = text(spec, key);
        if !value.is_empty() {
            errors.invalid_each(&path.child(key), value, name::dns1123_subdomain(value));
        }
    }
    if let Some(seconds) = int(spec, "activeDeadlineSeconds") {
        let at = path.child("activeDeadlineSeconds");
        errors.invalid_each(&at, seconds, name::in_range(seconds, 1, i64::from(i32::MAX)));
    }
    for key in ["hostname", "subdomain"] {
        let value = text(spec, key);
        if !value.is_empty() {
            errors.invalid_each(&path.child(key), value, name::dns1123_label(value));
        }
    }
    hostname_override(errors, &path.child("hostnameOverride"), spec);
}

fn hostname_override(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(value) = get(spec, "hostnameOverride").and_then(Value::as_str) else { return };
    if value.len() > HOSTNAME_OVERRIDE_MAX {
        errors.too_long(path, HOSTNAME_OVERRIDE_MAX);
    }
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        errors.forbidden(path, "may not be specified when hostNetwork is true");
    }
    if spec.get("setHostnameAsFQDN") == Some(&Value::Bool(true)) {
        errors.forbidden(path, "may not be specified when setHostnameAsFQDN is true");
    }
    errors.invalid_each(path, value, name::dns1123_subdomain(value));
}

fn dns_config(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    const MAX_NAMESERVERS: usize = 3;
    const MAX_SEARCHES: usize = 32;
    const MAX_SEARCH_CHARACTERS: usize = 2048;
    let config = get(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        match config {
            None => return errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(config) if items(config, "nameservers").is_empty() => {
                let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
                return errors.required(&path.child("nameservers"), detail);
            }
            Some(_) => {}
        }
    }
    let Some(config) = config else { return };
    let at = path.child("nameservers");
    if items(config, "nameservers").len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.invalid(&at, config["nameservers"].clone(), detail);
    }
    for (i, address) in texts(config, "nameservers").enumerate() {
        check::ip(errors, &at.index(i), address);
    }
    let at = path.child("searches");
    let searches: Vec<&str> = texts(config, "searches").collect();
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.invalid(&at, config["searches"].clone(), detail);
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARACTERS {
        let detail = format!(
            "must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.invalid(&at, config["searches"].clone(), detail);
    }
    for (i, search) in searches.iter().enumerate() {
        // A lone dot and underscores are names that resolvers take.
        let plain = search.strip_suffix('.').unwrap_or(search).replace('_', "a");
        if *search != "." {
            errors.invalid_each(&at.index(i), *search, name::dns1123_subdomain(&plain));
        }
    }
    let at = path.child("options");
    for (i, option) in items(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.required(&at.index(i), "must not be empty");
        }
    }
}

fn readiness_gates(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    for (i, gate) in items(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        errors.invalid_each(&path.index(i).child("conditionType"), kind, name::qualified_name(kind));
    }
}

fn host_aliases(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    for (i, alias) in items(spec, "hostAliases").iter().enumerate() {
        let path = path.index(i);
        check::ip(errors, &path.child("ip"), text(alias, "ip"));
        let at = path.child("hostnames");
        for (i, host) in texts(alias, "hostnames").enumerate() {
            errors.invalid_each(&at.index(i), host, name::dns1123_subdomain(host));
        }
    }
}
