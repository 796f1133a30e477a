//! Metrics: the kubelet's own, those of resource use (/metrics/resource, KEP-5), and the basic container metrics of cAdvisor.

use std::fmt::Write;

use component::metrics::gauges;
use http::StatusCode;

use super::State;
use super::answer::{Answer, boxed, set_type, text};
use super::stats::{container_stats, owner, pod_usage};
use crate::cri::v1;
use crate::pod::PodExt;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// /metrics
pub fn own(state: &State) -> Answer {
    let entries = state.registry.list();
    let running = entries.iter().filter(|entry| entry.status.phase.as_deref() == Some("Running")).count();
    set("kubelet_running_pods", "Number of pods that have a running pod sandbox", running);
    let containers = entries
        .iter()
        .flat_map(|entry| entry.status.container_statuses.iter().flatten())
        .filter(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
        .count();
    let help = "Number of containers currently running";
    gauges("kubelet_running_containers", help, &["container_state"])
        .with_label_values(&["running"])
        .set(i64::try_from(containers).unwrap_or(i64::MAX));
    gauges("kubelet_node_name", "The node's name. The count is always 1.", &["node"])
        .with_label_values(&[state.host.name.as_str()])
        .set(1);
    boxed(component::metrics::respond())
}

fn set(name: &str, help: &str, value: usize) {
    gauges(name, help, &[]).with_label_values::<&str>(&[]).set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// /metrics/probes
pub fn probes() -> Answer {
    exposition(String::new())
}

/// /metrics/resource
pub async fn resource(state: &State) -> Answer {
    let stats = container_stats(state).await;
    let mut page = Page::default();
    let cpu = page.family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
    );
    for stats in &stats {
        cpu.add(&container_labels(stats), seconds(core_nanoseconds(stats)));
    }
    let memory = page.family(
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set of the container in bytes",
    );
    for stats in &stats {
        memory.add(&container_labels(stats), working_set(stats).to_string());
    }
    let start = page.family(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds",
    );
    for entry in state.registry.list() {
        let statuses =
            entry.status.container_statuses.iter().chain(&entry.status.init_container_statuses).flatten();
        for status in statuses {
            let began = status.state.as_ref().and_then(|state| state.running.as_ref()?.started_at.clone());
            if let Some(began) = began {
                let labels = labels(&[
                    ("container", &status.name),
                    ("namespace", entry.pod.namespace()),
                    ("pod", entry.pod.name()),
                ]);
                start.add(&labels, began.0.as_second().to_string());
            }
        }
    }
    let pods: Vec<_> =
        state.registry.active().into_iter().map(|pod| (pod.clone(), pod_usage(state, &pod))).collect();
    let cpu = page.family(
        "pod_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the pod in core-seconds",
    );
    for (pod, usage) in &pods {
        cpu.add(
            &labels(&[("namespace", pod.namespace()), ("pod", pod.name())]),
            seconds(usage.cpu_nanoseconds),
        );
    }
    let memory =
        page.family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes");
    for (pod, usage) in &pods {
        memory.add(
            &labels(&[("namespace", pod.namespace()), ("pod", pod.name())]),
            usage.memory_working_set.to_string(),
        );
    }
    let node = state.cgroups.as_ref().map(|cgroups| cgroups.node_usage()).unwrap_or_default();
    page.family(
        "node_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the node in core-seconds",
    )
    .add("", seconds(node.cpu_nanoseconds));
    page.family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes")
        .add("", node.memory_working_set.to_string());
    page.family(
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    )
    .add("", "0".into());
    exposition(page.render())
}

/// /metrics/cadvisor
pub async fn cadvisor(state: &State) -> Answer {
    let stats = container_stats(state).await;
    let mut page = Page::default();
    let families: [ContainerFamily; 4] = [
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed in seconds.",
            |stats| seconds(core_nanoseconds(stats)),
        ),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |stats| {
            working_set(stats).to_string()
        }),
        (
            "container_memory_usage_bytes",
            "gauge",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
            |stats| {
                stats
                    .memory
                    .as_ref()
                    .and_then(|memory| memory.usage_bytes)
                    .map_or(0, |value| value.value)
                    .to_string()
            },
        ),
        (
            "container_fs_usage_bytes",
            "gauge",
            "Number of bytes that are consumed by the container on this filesystem.",
            |stats| {
                stats
                    .writable_layer
                    .as_ref()
                    .and_then(|layer| layer.used_bytes)
                    .map_or(0, |value| value.value)
                    .to_string()
            },
        ),
    ];
    for (name, kind, help, value) in families {
        let family = page.family(name, kind, help);
        for stats in &stats {
            family.add(&container_labels(stats), value(stats));
        }
    }
    exposition(page.render())
}

/// Name, kind, help and value of a family with one sample per container.
type ContainerFamily = (&'static str, &'static str, &'static str, fn(&v1::ContainerStats) -> String);

/// Families of the text format, each with its samples.
#[derive(Default)]
struct Page {
    families: Vec<Family>,
}

struct Family {
    name: &'static str,
    text: String,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Family {
        let text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.families.push(Family { name, text });
        let last = self.families.len() - 1;
        &mut self.families[last]
    }

    fn render(self) -> String {
        self.families.into_iter().map(|family| family.text).collect()
    }
}

impl Family {
    fn add(&mut self, labels: &str, value: String) {
        // Writing to a String does not fail.
        let written = writeln!(self.text, "{}{labels} {value}", self.name);
        debug_assert!(written.is_ok());
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn container_labels(stats: &v1::ContainerStats) -> String {
    let (pod, namespace, _, container) = owner(stats).unwrap_or_default();
    labels(&[("container", container), ("namespace", namespace), ("pod", pod)])
}

fn core_nanoseconds(stats: &v1::ContainerStats) -> u64 {
    stats.cpu.as_ref().and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value)
}

fn working_set(stats: &v1::ContainerStats) -> u64 {
    stats.memory.as_ref().and_then(|memory| memory.working_set_bytes).map_or(0, |value| value.value)
}

fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

fn exposition(page: String) -> Answer {
    let mut answer = text(StatusCode::OK, page);
    set_type(&mut answer, TEXT_FORMAT);
    answer
}
