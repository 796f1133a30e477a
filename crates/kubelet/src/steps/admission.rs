//! Step: whether the node can take a pod at all. A pod that it cannot take fails, so that its controller makes another
//! one elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod};

use super::Settings;
use crate::host::Host;
use crate::pod::resources::{milli, pod_request, whole};
use crate::pod::{PodExt, SharedPod, containers};

/// Decides on pods that are new on this node.
pub struct Admission {
    host: Arc<Host>,
    settings: Arc<Settings>,
}

/// Why a pod is refused: reason and message of its failed status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Such as `OutOfcpu`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Sysctls that act on one pod only and cannot harm others.
const SAFE_SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

impl Admission {
    /// For this node.
    pub fn new(host: Arc<Host>, settings: Arc<Settings>) -> Self {
        Self { host, settings }
    }

    /// Admits or refuses `pod` beside `others`, the pods that are on the node already.
    pub fn admit(&self, pod: &Pod, others: &[SharedPod]) -> Result<(), Refusal> {
        sysctls(pod, &self.settings.unsafe_sysctls)?;
        operating_system(pod)?;
        // Static pods are the node's own and not subject to what the API says about the node.
        if !pod.is_static()
            && let Some(node) = self.host.node()
        {
            node_selector(pod, &node)?;
        }
        host_ports(pod, others)?;
        self.resources(pod, others)
    }

    fn resources(&self, pod: &Pod, others: &[SharedPod]) -> Result<(), Refusal> {
        if others.len() + 1 > self.settings.max_pods {
            return Err(out_of("pods", 1, others.len(), self.settings.max_pods));
        }
        let allocatable = self.host.allocatable();
        let asked = |pod: &Pod, name: &str| pod_request(pod, name);
        for name in requested_names(pod) {
            let wanted = asked(pod, &name);
            let limit = allocatable.get(&name).map_or(0, if name == "cpu" { milli } else { whole });
            let used: i64 = others.iter().map(|other| asked(other, &name)).sum();
            if wanted > 0 && used + wanted > limit {
                return Err(out_of(&name, wanted, used, limit));
            }
        }
        Ok(())
    }
}

fn requested_names(pod: &Pod) -> Vec<String> {
    let mut names: Vec<String> = containers::all(pod)
        .into_iter()
        .filter_map(|(_, container)| container.resources)
        .flat_map(|resources| resources.requests.into_iter().chain(resources.limits))
        .flat_map(BTreeMap::into_keys)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn out_of(
    name: &str,
    wanted: impl std::fmt::Display,
    used: impl std::fmt::Display,
    limit: impl std::fmt::Display,
) -> Refusal {
    Refusal {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {limit}"
        ),
    }
}

fn sysctls(pod: &Pod, allowed: &[String]) -> Result<(), Refusal> {
    let context = pod.spec().security_context.as_ref();
    for sysctl in context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten() {
        let name = sysctl.name.replace('/', ".");
        let listed = allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *allowed == name,
        });
        if !listed && !SAFE_SYSCTLS.contains(&name.as_str()) {
            return Err(Refusal {
                reason: "SysctlForbidden".into(),
                message: format!(
                    "forbidden sysctl: \"{name}\" not allowlisted; add it to allowedUnsafeSysctls of the kubelet's configuration"
                ),
            });
        }
    }
    Ok(())
}

fn operating_system(pod: &Pod) -> Result<(), Refusal> {
    match &pod.spec().os {
        Some(os) if os.name != "linux" => Err(Refusal {
            reason: "PodOSNotSupported".into(),
            message: "Failed to admit pod as the OS field doesn't match node OS".into(),
        }),
        _ => Ok(()),
    }
}

fn host_ports(pod: &Pod, others: &[SharedPod]) -> Result<(), Refusal> {
    let taken: Vec<_> = others.iter().flat_map(|other| wanted_ports(other)).collect();
    let clash = wanted_ports(pod).into_iter().find(|(port, protocol, ip)| {
        taken.iter().any(|(other, other_protocol, other_ip)| {
            let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
            port == other && protocol == other_protocol && (ip == other_ip || any(ip) || any(other_ip))
        })
    });
    match clash {
        Some(_) => Err(Refusal {
            reason: "NodePorts".into(),
            message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
                .into(),
        }),
        None => Ok(()),
    }
}

fn wanted_ports(pod: &Pod) -> Vec<(i32, String, String)> {
    let ports = pod.spec().containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|port| *port > 0)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((number, protocol, port.host_ip.clone().unwrap_or_default()))
        })
        .collect()
}

fn node_selector(pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let spec = pod.spec();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let fits = required
        .is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, labels, name)));
    if selected && fits {
        return Ok(());
    }
    Err(Refusal {
        reason: "NodeAffinity".into(),
        message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
    })
}

fn matches(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions
        .iter()
        .all(|requirement| requirement_holds(requirement, labels.get(&requirement.key).map(String::as_str)))
        && fields.iter().all(|requirement| {
            requirement_holds(requirement, (requirement.key == "metadata.name").then_some(name))
        })
}

fn requirement_holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
    let compare = |holds: fn(i64, i64) -> bool| {
        let number = value.and_then(|value| value.parse().ok());
        let bound = values.first().and_then(|bound| bound.parse().ok());
        number.zip(bound).is_some_and(|(number, bound)| holds(number, bound))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|number, bound| number > bound),
        "Lt" => compare(|number, bound| number < bound),
        _ => false,
    }
}
