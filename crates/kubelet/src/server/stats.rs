//! /stats/summary: what the node and its pods use (stats.k8s.io Summary API v1alpha1).

use api_types::k8s::api::core::v1::Pod;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::State;
use crate::cgroups::Usage;
use crate::cri::v1;
use crate::eviction::signals;
use crate::pod::PodExt;
use crate::pod_worker::registry::Entry;

/// The summary.
pub async fn summary(state: &State) -> Value {
    let now = Timestamp::now();
    let stats = container_stats(state).await;
    let entries: Vec<Entry> = state.registry.list().into_iter().filter(|entry| !entry.has_ended()).collect();
    let pods: Vec<Value> = entries.iter().map(|entry| pod(state, entry, &stats, now)).collect();
    let node_usage = state.cgroups.as_ref().map(|cgroups| cgroups.node_usage()).unwrap_or_default();
    let memory = signals::memory(node_usage.memory_working_set);
    let mut node_memory = memory_stats(&node_usage, now);
    node_memory["availableBytes"] = json!(memory.map(|memory| memory.available));
    let filesystem = filesystem(&state.root, now);
    without_nulls(json!({
        "node": {
            "nodeName": state.host.name,
            "startTime": boot_time(),
            "cpu": cpu_stats(&node_usage, now),
            "memory": node_memory,
            "fs": filesystem,
            "runtime": {"imageFs": filesystem, "containerFs": filesystem},
            "rlimit": rlimit(now),
        },
        "pods": pods,
    }))
}

/// What is not known is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Usage of all containers, by the runtime.
pub async fn container_stats(state: &State) -> Vec<v1::ContainerStats> {
    let request = v1::ListContainerStatsRequest { filter: None };
    match state.runtime.list_container_stats(request).await {
        Ok(answer) => answer.stats,
        Err(error) => {
            tracing::warn!(%error, "Container stats not read");
            Vec::new()
        }
    }
}

/// Name, namespace and UID of the pod that a container belongs to, and the container's name.
pub fn owner(stats: &v1::ContainerStats) -> Option<(&str, &str, &str, &str)> {
    let labels = &stats.attributes.as_ref()?.labels;
    let get = |key: &str| labels.get(key).map(String::as_str);
    use crate::cri::labels::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID};
    Some((get(POD_NAME)?, get(POD_NAMESPACE)?, get(POD_UID)?, get(CONTAINER_NAME)?))
}

/// What the processes of a pod use.
pub fn pod_usage(state: &State, pod: &Pod) -> Usage {
    let cgroups = state.cgroups.as_ref();
    cgroups.map(|cgroups| cgroups.usage(&cgroups.pod(pod.qos(), pod.uid()))).unwrap_or_default()
}

fn pod(state: &State, entry: &Entry, stats: &[v1::ContainerStats], now: Timestamp) -> Value {
    let pod = &entry.pod;
    let mine = stats.iter().filter(|stats| owner(stats).is_some_and(|(_, _, uid, _)| uid == pod.uid()));
    let usage = pod_usage(state, pod);
    json!({
        "podRef": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
        "startTime": entry.status.start_time,
        "containers": mine.map(|stats| container(stats, entry)).collect::<Vec<_>>(),
        "cpu": cpu_stats(&usage, now),
        "memory": memory_stats(&usage, now),
        "process_stats": {"process_count": usage.processes},
    })
}

fn container(stats: &v1::ContainerStats, entry: &Entry) -> Value {
    let name = owner(stats).map(|(_, _, _, name)| name).unwrap_or_default();
    let status =
        entry.status.container_statuses.iter().chain(&entry.status.init_container_statuses).flatten();
    let running =
        status.filter(|status| status.name == name).find_map(|status| status.state.as_ref()?.running.clone());
    let value = |value: &Option<v1::UInt64Value>| value.as_ref().map(|value| value.value);
    let cpu = stats.cpu.unwrap_or_default();
    let memory = stats.memory.unwrap_or_default();
    let layer = stats.writable_layer.clone().unwrap_or_default();
    json!({
        "name": name,
        "startTime": running.and_then(|running| running.started_at),
        "cpu": {
            "time": time(cpu.timestamp),
            "usageNanoCores": value(&cpu.usage_nano_cores),
            "usageCoreNanoSeconds": value(&cpu.usage_core_nano_seconds),
        },
        "memory": {
            "time": time(memory.timestamp),
            "workingSetBytes": value(&memory.working_set_bytes),
            "usageBytes": value(&memory.usage_bytes),
            "rssBytes": value(&memory.rss_bytes),
            "pageFaults": value(&memory.page_faults),
            "majorPageFaults": value(&memory.major_page_faults),
        },
        "rootfs": {
            "time": time(layer.timestamp),
            "usedBytes": value(&layer.used_bytes),
            "inodesUsed": value(&layer.inodes_used),
        },
    })
}

fn cpu_stats(usage: &Usage, now: Timestamp) -> Value {
    json!({"time": now.to_string(), "usageCoreNanoSeconds": usage.cpu_nanoseconds})
}

fn memory_stats(usage: &Usage, now: Timestamp) -> Value {
    json!({
        "time": now.to_string(),
        "usageBytes": usage.memory_usage,
        "workingSetBytes": usage.memory_working_set,
        "rssBytes": usage.memory_rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    })
}

fn filesystem(root: &std::path::Path, now: Timestamp) -> Value {
    let (bytes, inodes) = (signals::bytes(root), signals::inodes(root));
    json!({
        "time": now.to_string(),
        "availableBytes": bytes.map(|bytes| bytes.available),
        "capacityBytes": bytes.map(|bytes| bytes.capacity),
        "usedBytes": bytes.map(|bytes| bytes.capacity - bytes.available),
        "inodesFree": inodes.map(|inodes| inodes.available),
        "inodes": inodes.map(|inodes| inodes.capacity),
        "inodesUsed": inodes.map(|inodes| inodes.capacity - inodes.available),
    })
}

fn rlimit(now: Timestamp) -> Value {
    let pids = signals::pids();
    json!({
        "time": now.to_string(),
        "maxpid": pids.map(|pids| pids.capacity),
        "curproc": pids.map(|pids| pids.capacity - pids.available),
    })
}

fn boot_time() -> Option<String> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

/// CRI times are nanoseconds since the epoch.
fn time(nanoseconds: i64) -> Option<String> {
    let nanoseconds = (nanoseconds > 0).then_some(nanoseconds)?;
    Timestamp::from_nanosecond(nanoseconds.into()).ok().map(|time| time.to_string())
}
