//! From requests and limits to QoS classes, cgroup values and OOM scores.

use std::collections::BTreeMap;

use api_types::k8s::api::core::v1::{Container, Pod, ResourceRequirements};
use api_types::k8s::apimachinery::pkg::api::resource::Quantity;

use super::containers::{Kind, init_kind};
use super::{PodExt, Qos};
use crate::cri::v1::LinuxContainerResources;

type List = BTreeMap<String, Quantity>;

/// CPU in thousandths and memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a CPU.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
}

/// What a pod asks for and may use at most; `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PodResources {
    /// Sum of requests, as the scheduler counts them.
    pub requests: Amount,
    /// CPU limit in thousandths, if every container has one.
    pub limit_milli_cpu: Option<i64>,
    /// Memory limit in bytes, if every container has one.
    pub limit_memory: Option<i64>,
}

/// A quantity in thousandths, rounded up; unreadable ones count as zero (the API has validated them).
pub fn milli(quantity: &Quantity) -> i64 {
    api_types::quantity::Quantity::parse(&quantity.0).map(|parsed| parsed.milli_value()).unwrap_or(0)
}

/// A quantity in whole units, rounded up.
pub fn whole(quantity: &Quantity) -> i64 {
    api_types::quantity::Quantity::parse(&quantity.0).map(|parsed| parsed.value()).unwrap_or(0)
}

/// The QoS class (<https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>).
pub fn qos(pod: &Pod) -> Qos {
    let spec = pod.spec();
    let pod_level = spec.resources.iter().filter(|resources| is_set(resources));
    let mut lists: Vec<&ResourceRequirements> = pod_level.collect();
    let by_pod = !lists.is_empty();
    let containers: Vec<&Container> =
        spec.containers.iter().chain(spec.init_containers.iter().flatten()).collect();
    let empty = ResourceRequirements::default();
    if !by_pod {
        lists = containers.iter().map(|container| container.resources.as_ref().unwrap_or(&empty)).collect();
    }
    if lists.iter().all(|resources| !is_set(resources)) {
        return Qos::BestEffort;
    }
    let guaranteed = lists.iter().all(|resources| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = get(&resources.limits, name).filter(|limit| milli(limit) > 0);
            let request = get(&resources.requests, name).or(limit);
            limit.is_some_and(|limit| request.is_some_and(|request| milli(limit) == milli(request)))
        })
    });
    if guaranteed { Qos::Guaranteed } else { Qos::Burstable }
}

/// A pod's totals: the larger of what its containers need together and what any init step needs, plus overhead.
pub fn pod_resources(pod: &Pod) -> PodResources {
    let spec = pod.spec();
    let mut requests = Amount::default();
    for (name, slot) in [("cpu", 0), ("memory", 1)] {
        let value = total(pod, |container| effective_request(container, name).map_or(0, |q| scaled(q, slot)));
        let pod_level = spec.resources.as_ref().and_then(|r| get(&r.requests, name).or(get(&r.limits, name)));
        let value = pod_level.map_or(value, |quantity| scaled(quantity, slot));
        let overhead = get(&spec.overhead, name).map_or(0, |quantity| scaled(quantity, slot));
        if slot == 0 { requests.milli_cpu = value + overhead } else { requests.memory = value + overhead }
    }
    PodResources {
        requests,
        limit_milli_cpu: pod_limit(pod, "cpu", 0),
        limit_memory: pod_limit(pod, "memory", 1),
    }
}

/// Sum of one named resource's requests, as the scheduler counts it (whole units; CPU in thousandths).
pub fn pod_request(pod: &Pod, name: &str) -> i64 {
    let slot = usize::from(name != "cpu");
    let sum = total(pod, |container| effective_request(container, name).map_or(0, |q| scaled(q, slot)));
    let spec = pod.spec();
    let pod_level = spec.resources.as_ref().and_then(|r| get(&r.requests, name).or(get(&r.limits, name)));
    let overhead = get(&spec.overhead, name).map_or(0, |quantity| scaled(quantity, slot));
    pod_level.map_or(sum, |quantity| scaled(quantity, slot)) + overhead
}

/// What the runtime is told about one container. `cfs_period` in microseconds, `None` with cpuCFSQuota off.
pub fn container_resources(
    pod: &Pod,
    container: &Container,
    node_memory: i64,
    cfs_period: Option<u64>,
) -> LinuxContainerResources {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let limit_cpu = limits.and_then(|limits| limits.get("cpu")).map(milli).filter(|limit| *limit > 0);
    let request_cpu = effective_request(container, "cpu").map_or(0, milli);
    let (quota, period) = match (limit_cpu, cfs_period) {
        (Some(limit), Some(period)) => (cpu_quota(limit, period), i64::try_from(period).unwrap_or(100_000)),
        _ => (0, 0),
    };
    LinuxContainerResources {
        cpu_shares: i64::try_from(cpu_shares(request_cpu)).unwrap_or(2),
        cpu_quota: quota,
        cpu_period: period,
        memory_limit_in_bytes: limits.and_then(|limits| limits.get("memory")).map_or(0, whole),
        oom_score_adj: oom_score_adj(pod, container, node_memory),
        ..Default::default()
    }
}

/// cgroup v1 `cpu.shares` of a request; the kernel's smallest value stands for "nothing asked".
pub fn cpu_shares(milli_cpu: i64) -> u64 {
    let shares = u64::try_from(milli_cpu).unwrap_or(0) * 1024 / 1000;
    shares.clamp(2, 262_144)
}

/// CFS quota in microseconds per period; never below the kernel's minimum of 1 ms.
pub fn cpu_quota(milli_cpu: i64, period: u64) -> i64 {
    (milli_cpu * i64::try_from(period).unwrap_or(100_000) / 1000).max(1000)
}

/// OOM score: critical and guaranteed pods go last, best-effort ones first, others by the share of memory they asked for.
pub fn oom_score_adj(pod: &Pod, container: &Container, node_memory: i64) -> i64 {
    if pod.is_critical() {
        return -997;
    }
    match pod.qos() {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = effective_request(container, "memory").map_or(0, whole);
            (1000 - 1000 * request / node_memory.max(1)).clamp(3, 999)
        }
    }
}

/// A request, or the limit that stands in for it.
pub fn effective_request<'a>(container: &'a Container, name: &str) -> Option<&'a Quantity> {
    let resources = container.resources.as_ref()?;
    get(&resources.requests, name).or_else(|| get(&resources.limits, name))
}

fn pod_limit(pod: &Pod, name: &str, slot: usize) -> Option<i64> {
    let spec = pod.spec();
    if let Some(quantity) = spec.resources.as_ref().and_then(|resources| get(&resources.limits, name)) {
        return Some(scaled(quantity, slot));
    }
    let limit = |container: &Container| {
        container.resources.as_ref().and_then(|r| get(&r.limits, name)).map(|quantity| scaled(quantity, slot))
    };
    let everyone = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    if !everyone.clone().all(|container| limit(container).is_some_and(|value| value > 0)) {
        return None;
    }
    let sum = total(pod, |container| limit(container).unwrap_or(0));
    Some(sum + get(&spec.overhead, name).map_or(0, |quantity| scaled(quantity, slot)))
}

/// max(containers + sidecars, each init container + the sidecars started before it).
fn total(pod: &Pod, of: impl Fn(&Container) -> i64) -> i64 {
    let spec = pod.spec();
    let (mut sidecars, mut peak) = (0, 0);
    for container in spec.init_containers.iter().flatten() {
        if init_kind(container) == Kind::Sidecar {
            sidecars += of(container);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + of(container));
        }
    }
    peak.max(sidecars + spec.containers.iter().map(of).sum::<i64>())
}

fn scaled(quantity: &Quantity, slot: usize) -> i64 {
    if slot == 0 { milli(quantity) } else { whole(quantity) }
}

fn is_set(resources: &ResourceRequirements) -> bool {
    let positive = |list: &Option<List>| {
        ["cpu", "memory"].iter().any(|name| get(list, name).is_some_and(|quantity| milli(quantity) > 0))
    };
    positive(&resources.requests) || positive(&resources.limits)
}

fn get<'a>(list: &'a Option<List>, name: &str) -> Option<&'a Quantity> {
    list.as_ref()?.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(containers: &str) -> Pod {
        serde_yaml::from_str(&format!("{{metadata: {{name: p}}, spec: {{{containers}}}}}")).unwrap()
    }

    #[test]
    fn qos_follows_requests_and_limits() {
        for (spec, expected) in [
            ("containers: [{name: a}]", Qos::BestEffort),
            ("containers: [{name: a, resources: {requests: {cpu: 100m}}}]", Qos::Burstable),
            ("containers: [{name: a, resources: {limits: {cpu: '1', memory: 1Gi}}}]", Qos::Guaranteed),
            (
                "containers: [{name: a, resources: {limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}}]",
                Qos::Burstable,
            ),
            (
                "containers: [{name: a, resources: {limits: {cpu: '1', memory: 1Gi}}}, {name: b}]",
                Qos::Burstable,
            ),
        ] {
            assert_eq!(pod(spec).qos(), expected, "{spec}");
        }
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let pod =
            pod("initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 100m}}},
            {name: i, resources: {requests: {cpu: '2'}}}],
            containers: [{name: a, resources: {requests: {cpu: 500m}}}]");
        assert_eq!(pod_resources(&pod).requests.milli_cpu, 2100);
    }

    #[test]
    fn shares_and_quota_respect_the_kernels_bounds() {
        assert_eq!((cpu_shares(0), cpu_shares(500), cpu_shares(1_000_000)), (2, 512, 262_144));
        assert_eq!((cpu_quota(500, 100_000), cpu_quota(1, 100_000)), (50_000, 1000));
    }
}
