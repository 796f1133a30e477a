//! The downward API: fields and resources of a pod as text, for environment variables and volumes.

use std::collections::BTreeMap;

use api_types::k8s::api::core::v1::{Pod, ResourceFieldSelector};
use api_types::k8s::apimachinery::pkg::api::resource::Quantity;

use super::PodExt;
use super::containers;
use super::resources::{milli, whole};

/// What a pod learns about itself only on the node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runtime {
    /// Pod addresses, the primary first.
    pub pod_ips: Vec<String>,
    /// Node addresses, the primary first.
    pub host_ips: Vec<String>,
    /// What the node offers to pods; stands in for limits that are not set.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// Why a reference cannot be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No such field in the downward API.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// No such container.
    #[error("container {0} not found")]
    Container(String),
    /// No such resource.
    #[error("unsupported resource: {0}; use limits.* or requests.* of cpu, memory or ephemeral-storage")]
    Resource(String),
}

/// The value of a field path; `None` where the node does not know it yet (addresses).
pub fn field(pod: &Pod, path: &str, runtime: &Runtime) -> Result<String, Error> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let values = match map {
            "metadata.labels" => &pod.metadata.labels,
            "metadata.annotations" => &pod.metadata.annotations,
            _ => return Err(Error::Field(path.into())),
        };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let first = |ips: &[String]| ips.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => pod.name().into(),
        "metadata.namespace" => pod.namespace().into(),
        "metadata.uid" => pod.uid().into(),
        "metadata.labels" => lines(pod.metadata.labels.as_ref()),
        "metadata.annotations" => lines(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => pod.spec().node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod.spec().service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&runtime.host_ips),
        "status.hostIPs" => runtime.host_ips.join(","),
        "status.podIP" => first(&runtime.pod_ips),
        "status.podIPs" => runtime.pod_ips.join(","),
        _ => return Err(Error::Field(path.into())),
    })
}

/// The value of a container's limit or request in units of the divisor, rounded up.
pub fn resource(
    pod: &Pod,
    default_container: &str,
    selector: &ResourceFieldSelector,
    runtime: &Runtime,
) -> Result<String, Error> {
    let name =
        selector.container_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(default_container);
    let (_, container) = containers::find(pod, name).ok_or_else(|| Error::Container(name.into()))?;
    let (list, resource) =
        selector.resource.split_once('.').ok_or_else(|| Error::Resource(selector.resource.clone()))?;
    let resources = container.resources.unwrap_or_default();
    let quantity = match list {
        "limits" => {
            let limit = resources.limits.as_ref().and_then(|limits| limits.get(resource));
            limit.filter(|limit| milli(limit) > 0).or_else(|| runtime.allocatable.get(resource))
        }
        "requests" => {
            let request = resources.requests.as_ref().and_then(|requests| requests.get(resource));
            request.or_else(|| resources.limits.as_ref().and_then(|limits| limits.get(resource)))
        }
        _ => return Err(Error::Resource(selector.resource.clone())),
    };
    let divisor = selector.divisor.as_ref();
    let ratio = match resource {
        "cpu" => {
            let divisor = divisor.map(milli).filter(|value| *value > 0).unwrap_or(1000);
            quantity.map_or(0, milli).div_euclid_up(divisor)
        }
        "memory" | "ephemeral-storage" => scaled(quantity, divisor),
        other if other.starts_with("hugepages-") => scaled(quantity, divisor),
        _ => return Err(Error::Resource(selector.resource.clone())),
    };
    Ok(ratio.to_string())
}

fn scaled(quantity: Option<&Quantity>, divisor: Option<&Quantity>) -> i64 {
    quantity.map_or(0, whole).div_euclid_up(divisor.map(whole).filter(|value| *value > 0).unwrap_or(1))
}

trait DivUp {
    fn div_euclid_up(self, divisor: i64) -> i64;
}

impl DivUp for i64 {
    fn div_euclid_up(self, divisor: i64) -> i64 {
        self / divisor + i64::from(self % divisor > 0)
    }
}

/// `key="value"` lines, values quoted with C-like escapes, keys sorted.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_yaml::from_str(
            "metadata: {name: p, namespace: n, uid: u, labels: {b: 'x\"y', a: '1'}}
spec: {nodeName: node, containers: [{name: c, resources: {limits: {cpu: 1500m, memory: 64Mi}}}]}",
        )
        .unwrap()
    }

    #[test]
    fn fields_become_text() {
        let runtime = Runtime { pod_ips: vec!["10.0.0.1".into(), "fd00::1".into()], ..Runtime::default() };
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.labels['a']", "1"),
            ("metadata.labels", "a=\"1\"\nb=\"x\\\"y\""),
            ("status.podIPs", "10.0.0.1,fd00::1"),
            ("spec.nodeName", "node"),
        ] {
            assert_eq!(field(&pod(), path, &runtime).unwrap(), expected, "{path}");
        }
        assert!(field(&pod(), "spec.containers", &runtime).is_err());
    }

    #[test]
    fn resources_round_up_in_units_of_the_divisor() {
        for (resource_name, divisor, expected) in [
            ("limits.cpu", "1", "2"),
            ("limits.cpu", "1m", "1500"),
            ("limits.memory", "1Mi", "64"),
            ("requests.cpu", "1", "2"),
        ] {
            let selector = ResourceFieldSelector {
                container_name: None,
                resource: resource_name.into(),
                divisor: Some(Quantity(divisor.into())),
            };
            assert_eq!(
                resource(&pod(), "c", &selector, &Runtime::default()).unwrap(),
                expected,
                "{resource_name}"
            );
        }
    }
}
