//! The checks of level baseline, in upstream's order.

use serde_json::Value;

use super::policy::{Check, Violation};
use super::visit::{Pod, containers, distinct, plural, quoted};
use crate::admission::plugins::support::{list, text};

pub(super) const CHECKS: &[Check] = &[
    always(app_armor),
    Check { since: 0, replaced_in_restricted: Some(22), run: capabilities },
    always(host_namespaces),
    Check { since: 0, replaced_in_restricted: Some(0), run: host_path_volumes },
    always(host_ports),
    Check { since: 34, replaced_in_restricted: None, run: host_probes },
    always(privileged),
    always(proc_mount),
    Check { since: 0, replaced_in_restricted: Some(19), run: seccomp },
    always(selinux),
    always(sysctls),
    always(host_process),
];

const fn always(run: fn(&Pod<'_>, u32) -> Option<Violation>) -> Check {
    Check { since: 0, replaced_in_restricted: None, run }
}

/// Profiles that are set to something forbidden: by whom, and to what.
struct Setters<'a> {
    whom: Vec<String>,
    values: Vec<&'a str>,
}

/// Who sets the string at `pointer` of a security context to something that `allowed` does not admit.
fn setters<'a>(pod: &Pod<'a>, pointer: &str, allowed: fn(&str) -> bool) -> Setters<'a> {
    let at = format!("/securityContext{pointer}");
    let own = text(pod.spec, &at);
    let bad = |value: &str| !value.is_empty() && !allowed(value);
    let mut whom = Vec::new();
    let mut values = Vec::new();
    if bad(own) {
        whom.push("pod".to_owned());
        values.push(own);
    }
    let names = pod.containers_where(|container| bad(text(container, &at)));
    if !names.is_empty() {
        whom.push(containers(&names));
        values.extend(pod.containers().map(|c| text(c, &at)).filter(|value| bad(value)));
    }
    Setters { whom, values: distinct(values) }
}

fn app_armor(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
    let set =
        setters(pod, "/appArmorProfile/type", |profile| matches!(profile, "RuntimeDefault" | "Localhost"));
    let annotations = pod.metadata.get("annotations").and_then(Value::as_object);
    let forbidden: Vec<String> = annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, value)| {
            let allowed = matches!(*value, "" | "runtime/default") || value.starts_with("localhost/");
            key.starts_with(PREFIX) && !allowed
        })
        .map(|(key, value)| format!("{key}={}", api_types::field::quote(value)))
        .collect();
    let mut details = Vec::new();
    if !set.whom.is_empty() {
        let whom = set.whom.join(" and ");
        details.push(format!("{whom} must not set AppArmor profile type to {}", quoted(&set.values)));
    }
    if !forbidden.is_empty() {
        details.push(format!("{} {}", plural("annotation", forbidden.len()), forbidden.join(", ")));
    }
    if details.is_empty() {
        return None;
    }
    let count = set.values.len() + forbidden.len();
    Violation::new(plural("forbidden AppArmor profile", count), details.join(" and "))
}

/// Capabilities that container runtimes grant by default.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let added = |container: &Value| -> Vec<String> {
        let added = list(container, "/securityContext/capabilities/add").iter().filter_map(Value::as_str);
        added.filter(|c| !DEFAULT_CAPABILITIES.contains(c)).map(str::to_owned).collect()
    };
    let names = pod.containers_where(|container| !added(container).is_empty());
    if names.is_empty() {
        return None;
    }
    let all: Vec<String> = pod.containers().flat_map(added).collect();
    let all = distinct(all.iter().map(String::as_str));
    Violation::new(
        "non-default capabilities",
        format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&names),
            quoted(&all)
        ),
    )
}

fn host_namespaces(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.spec[*field] == true);
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    if shared.is_empty() { None } else { Violation::new("host namespaces", shared.join(", ")) }
}

fn host_path_volumes(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let names: Vec<&str> = list(pod.spec, "/volumes")
        .iter()
        .filter(|v| !v["hostPath"].is_null())
        .map(|v| text(v, "/name"))
        .collect();
    if names.is_empty() {
        return None;
    }
    Violation::new("hostPath volumes", format!("{} {}", plural("volume", names.len()), quoted(&names)))
}

fn host_ports(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let ports_of = |container: &Value| -> Vec<i64> {
        let ports = list(container, "/ports").iter().filter_map(|p| p["hostPort"].as_i64());
        ports.filter(|port| *port != 0).collect()
    };
    let names = pod.containers_where(|container| !ports_of(container).is_empty());
    if names.is_empty() {
        return None;
    }
    let mut ports: Vec<String> = pod.containers().flat_map(ports_of).map(|port| port.to_string()).collect();
    ports.sort_unstable();
    ports.dedup();
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let noun = plural("hostPort", ports.len());
    Violation::new("hostPort", format!("{} {uses} {noun} {}", containers(&names), ports.join(", ")))
}

/// Probes and hooks of another host than the pod could be used to reach what only the node can reach.
fn host_probes(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    const HANDLERS: [&str; 5] =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    let hosts_of = |container: &Value| -> Vec<String> {
        let at = |handler: &&str| {
            ["httpGet", "tcpSocket"]
                .map(|action| text(container, &format!("{handler}/{action}/host")).to_owned())
        };
        let elsewhere = |host: &String| !matches!(host.as_str(), "" | "127.0.0.1" | "::1");
        HANDLERS.iter().flat_map(at).filter(elsewhere).collect()
    };
    let names = pod.containers_where(|container| !hosts_of(container).is_empty());
    if names.is_empty() {
        return None;
    }
    let hosts: Vec<String> = pod.containers().flat_map(hosts_of).collect();
    let hosts = distinct(hosts.iter().map(String::as_str));
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let noun = plural("host", hosts.len());
    Violation::new(
        "probe or lifecycle host",
        format!("{} {uses} probe or lifecycle {noun} {}", containers(&names), quoted(&hosts)),
    )
}

fn privileged(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let names = pod.containers_where(|c| c["securityContext"]["privileged"] == true);
    if names.is_empty() {
        return None;
    }
    Violation::new(
        "privileged",
        format!("{} must not set securityContext.privileged=true", containers(&names)),
    )
}

fn proc_mount(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    // A pod with its own user namespace may see all of /proc (KEP-4265).
    if minor >= 35 && pod.spec["hostUsers"] == false {
        return None;
    }
    let mount = |c: &'_ Value| text(c, "/securityContext/procMount").to_owned();
    let names = pod.containers_where(|c| !matches!(mount(c).as_str(), "" | "Default"));
    if names.is_empty() {
        return None;
    }
    let values: Vec<String> =
        pod.containers().map(mount).filter(|m| !matches!(m.as_str(), "" | "Default")).collect();
    let values = distinct(values.iter().map(String::as_str));
    Violation::new(
        "procMount",
        format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(&values)),
    )
}

fn seccomp(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    if minor < 19 {
        return None;
    }
    let set =
        setters(pod, "/seccompProfile/type", |profile| matches!(profile, "RuntimeDefault" | "Localhost"));
    if set.whom.is_empty() {
        return None;
    }
    let whom = set.whom.join(" and ");
    let detail =
        format!("{whom} must not set securityContext.seccompProfile.type to {}", quoted(&set.values));
    Violation::new("seccompProfile", detail)
}

fn selinux(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    let options = |of: &Value| of["securityContext"]["seLinuxOptions"].clone();
    let allowed_type = move |name: &str| {
        matches!(name, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (minor >= 31 && name == "container_engine_t")
    };
    let bad = |of: &Value| {
        let options = options(of);
        !allowed_type(text(&options, "/type"))
            || ["/user", "/role"].iter().any(|p| !text(&options, p).is_empty())
    };
    let mut whom = Vec::new();
    if bad(pod.spec) {
        whom.push("pod".to_owned());
    }
    let names = pod.containers_where(bad);
    if !names.is_empty() {
        whom.push(containers(&names));
    }
    if whom.is_empty() {
        return None;
    }
    let all: Vec<Value> = std::iter::once(pod.spec).chain(pod.containers()).map(options).collect();
    let types = distinct(all.iter().map(|o| text(o, "/type")).filter(|t| !allowed_type(t)));
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", types.len()), quoted(&types)));
    }
    for part in ["user", "role"] {
        if all.iter().any(|o| !text(o, &format!("/{part}")).is_empty()) {
            data.push(format!("{part} may not be set"));
        }
    }
    Violation::new(
        "seLinuxOptions",
        format!("{} set forbidden securityContext.seLinuxOptions: {}", whom.join(" and "), data.join("; ")),
    )
}

/// Kernel parameters that are confined to the pod, with the minor version since which they count as such.
const SAFE_SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    let safe = |name: &str| SAFE_SYSCTLS.iter().any(|(known, since)| *known == name && minor >= *since);
    let set = list(pod.spec, "/securityContext/sysctls").iter().map(|s| text(s, "/name"));
    let forbidden: Vec<&str> = set.filter(|name| !safe(name)).collect();
    if forbidden.is_empty() { None } else { Violation::new("forbidden sysctls", forbidden.join(", ")) }
}

fn host_process(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let is = |of: &Value| of["securityContext"]["windowsOptions"]["hostProcess"] == true;
    let mut whom = Vec::new();
    if is(pod.spec) {
        whom.push("pod".to_owned());
    }
    let names = pod.containers_where(is);
    if !names.is_empty() {
        whom.push(containers(&names));
    }
    if whom.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not set securityContext.windowsOptions.hostProcess=true", whom.join(" and "));
    Violation::new("hostProcess", detail)
}
