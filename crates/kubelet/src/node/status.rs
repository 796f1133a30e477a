//! The Node's status: what it has, how it is.

use std::collections::BTreeMap;
use std::fs;

use api_types::k8s::api::core::v1::{
    ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus,
    NodeSystemInfo,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cri::v1;
use crate::host::Host;

/// What the status is made from, beside the host.
pub struct Facts {
    /// Name and version of the runtime, as `containerd://1.6.20`.
    pub runtime_version: String,
    /// Images on the node, largest first, already cut to nodeStatusMaxImages.
    pub images: Vec<ContainerImage>,
    /// Conditions under pressure, by name, such as `MemoryPressure`.
    pub pressure: Vec<&'static str>,
    /// Port of the kubelet's server.
    pub port: u16,
    /// The time.
    pub now: Timestamp,
}

/// The status now. `old` gives the times since when conditions hold.
pub fn status(host: &Host, facts: &Facts, old: &NodeStatus) -> NodeStatus {
    let mut addresses: Vec<NodeAddress> =
        host.ips().into_iter().map(|address| NodeAddress { type_: "InternalIP".into(), address }).collect();
    addresses.push(NodeAddress { type_: "Hostname".into(), address: host.name.clone() });
    NodeStatus {
        addresses: Some(addresses),
        allocatable: Some(host.allocatable()),
        capacity: Some(host.capacity()),
        conditions: Some(conditions(host, facts, old.conditions.as_deref().unwrap_or_default())),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(facts.port) }),
        }),
        images: Some(facts.images.clone()),
        node_info: Some(system_info(facts)),
        ..NodeStatus::default()
    }
}

/// Whether `new` says something that the API's `present` does not, beside the time. What others wrote there (conditions of the
/// network, extended resources, attached volumes) does not count.
pub fn differs(present: &NodeStatus, new: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        serde_json::to_value(status).unwrap_or_default()
    };
    !covers(&timeless(present), &timeless(new))
}

fn covers(present: &Value, new: &Value) -> bool {
    match (present, new) {
        (Value::Object(present), Value::Object(new)) => {
            new.iter().all(|(name, new)| match present.get(name) {
                Some(Value::Array(all)) if name == "conditions" => {
                    new.as_array().into_iter().flatten().all(|condition| all.contains(condition))
                }
                Some(present) => covers(present, new),
                None => {
                    new.as_array().is_some_and(Vec::is_empty) || new.as_object().is_some_and(|o| o.is_empty())
                }
            })
        }
        _ => present == new,
    }
}

/// The patch that writes a status. Addresses are merged by type in the API, so the list is replaced by directive.
pub fn patch(status: &NodeStatus) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Some(addresses) = value.get_mut("addresses").and_then(Value::as_array_mut) {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    json!({ "status": value })
}

/// Images for the node's status.
pub fn images(mut images: Vec<v1::Image>, limit: i32) -> Vec<ContainerImage> {
    // More names than this are cut, to keep the object small.
    const MAX_NAMES: usize = 5;
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    if let Ok(limit) = usize::try_from(limit) {
        images.truncate(limit);
    }
    images
        .into_iter()
        .map(|image| {
            let mut names: Vec<String> = image.repo_digests.into_iter().chain(image.repo_tags).collect();
            names.truncate(MAX_NAMES);
            ContainerImage { names: Some(names), size_bytes: i64::try_from(image.size).ok() }
        })
        .collect()
}

fn conditions(host: &Host, facts: &Facts, old: &[NodeCondition]) -> Vec<NodeCondition> {
    let mut all = Vec::new();
    let pressures = [
        (
            "MemoryPressure",
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
            "kubelet has insufficient memory available",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "KubeletHasDiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has disk pressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "KubeletHasInsufficientPID",
            "KubeletHasSufficientPID",
            "kubelet has insufficient PID available",
            "kubelet has sufficient PID available",
        ),
    ];
    for (name, bad, good, bad_text, good_text) in pressures {
        let under = facts.pressure.contains(&name);
        let (status, reason, message) =
            if under { ("True", bad, bad_text) } else { ("False", good, good_text) };
        all.push(condition(name, status, reason, message.to_owned(), facts, old));
    }
    let problems: Vec<String> = host.runtime_problem().into_iter().chain(host.network_problem()).collect();
    all.push(if problems.is_empty() {
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status".into(), facts, old)
    } else {
        let message =
            if problems.len() == 1 { problems[0].clone() } else { format!("[{}]", problems.join(", ")) };
        condition("Ready", "False", "KubeletNotReady", message, facts, old)
    });
    all
}

fn condition(
    name: &str,
    status: &str,
    reason: &str,
    message: String,
    facts: &Facts,
    old: &[NodeCondition],
) -> NodeCondition {
    let before = old.iter().find(|condition| condition.type_ == name && condition.status == status);
    let now = Time(facts.now);
    NodeCondition {
        type_: name.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: before.and_then(|before| before.last_transition_time.clone()).or(Some(now)),
    }
}

fn system_info(facts: &Facts) -> NodeSystemInfo {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let first = |paths: &[&str]| {
        paths.iter().map(|path| read(path)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let release: BTreeMap<String, String> = first(&["/etc/os-release", "/usr/lib/os-release"])
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    let machine_id = first(&["/etc/machine-id", "/var/lib/dbus/machine-id"]);
    NodeSystemInfo {
        architecture: architecture().into(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: facts.runtime_version.clone(),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        // Deprecated and empty since v1.33 (KEP-4004).
        kube_proxy_version: String::new(),
        kubelet_version: component::version::GIT_VERSION.into(),
        machine_id: machine_id.clone(),
        operating_system: "linux".into(),
        os_image: release.get("PRETTY_NAME").cloned().unwrap_or_else(|| "Linux".into()),
        system_uuid: Some(read("/sys/class/dmi/id/product_uuid"))
            .filter(|id| !id.is_empty())
            .unwrap_or(machine_id),
        swap: None,
    }
}

/// The machine's architecture by Go's name, which the API uses.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use api_types::k8s::apimachinery::pkg::api::resource::Quantity;

    use super::*;

    #[test]
    fn readiness_follows_the_runtime_and_its_network() {
        let host = Host::new("n".into(), vec!["192.0.2.1".into()], BTreeMap::new(), BTreeMap::new());
        let facts = |second| Facts {
            runtime_version: "containerd://1".into(),
            images: Vec::new(),
            pressure: vec!["DiskPressure"],
            port: 10250,
            now: Timestamp::from_second(second).unwrap(),
        };
        host.set_runtime(None, Some("no network".into()));
        let first = status(&host, &facts(1), &NodeStatus::default());
        let find = |status: &NodeStatus, name: &str| {
            status.conditions.iter().flatten().find(|condition| condition.type_ == name).cloned().unwrap()
        };
        assert_eq!(
            (find(&first, "Ready").status.as_str(), find(&first, "Ready").message.as_deref()),
            ("False", Some("no network"))
        );
        assert_eq!(find(&first, "DiskPressure").status, "True");
        host.set_runtime(None, None);
        let second = status(&host, &facts(2), &first);
        assert_eq!(find(&second, "Ready").status, "True");
        assert_eq!(
            find(&second, "DiskPressure").last_transition_time,
            find(&first, "DiskPressure").last_transition_time
        );
        assert!(differs(&first, &second) && !differs(&second, &status(&host, &facts(3), &second)));
        // The node controller gives a silent node up; what others add is theirs.
        let mut others = second.clone();
        others.conditions.iter_mut().flatten().for_each(|condition| condition.status = "Unknown".into());
        assert!(differs(&others, &second));
        let mut others = second.clone();
        let extra = NodeCondition { type_: "NetworkUnavailable".into(), ..NodeCondition::default() };
        others.conditions.get_or_insert_default().push(extra);
        others.capacity.get_or_insert_default().insert("example.com/card".into(), Quantity("1".into()));
        assert!(!differs(&others, &second));
    }
}
