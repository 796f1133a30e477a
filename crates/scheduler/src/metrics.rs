//! Upstream's metrics.

use std::sync::LazyLock;
use std::time::Duration;

use component::metrics::{counters, exponential_buckets, gauges, histograms};
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use crate::queue::Sizes;

struct Families {
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    algorithm_duration: HistogramVec,
    sli_duration: HistogramVec,
    pod_attempts: HistogramVec,
    point_duration: HistogramVec,
    pending: IntGaugeVec,
    incoming: IntCounterVec,
    preemptions: IntCounterVec,
    victims: HistogramVec,
    cache_size: IntGaugeVec,
}

static FAMILIES: LazyLock<Families> = LazyLock::new(|| Families {
    attempts: counters(
        "scheduler_schedule_attempts_total",
        "Number of attempts to schedule pods, by the result.",
        &["profile", "result"],
    ),
    attempt_duration: histograms(
        "scheduler_scheduling_attempt_duration_seconds",
        "Scheduling attempt latency in seconds (scheduling algorithm + binding).",
        &["profile", "result"],
        &exponential_buckets(0.001, 2.0, 15),
    ),
    algorithm_duration: histograms(
        "scheduler_scheduling_algorithm_duration_seconds",
        "Scheduling algorithm latency in seconds.",
        &[],
        &exponential_buckets(0.001, 2.0, 15),
    ),
    sli_duration: histograms(
        "scheduler_pod_scheduling_sli_duration_seconds",
        "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue.",
        &["attempts"],
        &exponential_buckets(0.01, 2.0, 20),
    ),
    pod_attempts: histograms(
        "scheduler_pod_scheduling_attempts",
        "Number of attempts to successfully schedule a pod.",
        &[],
        &exponential_buckets(1.0, 2.0, 5),
    ),
    point_duration: histograms(
        "scheduler_framework_extension_point_duration_seconds",
        "Latency for running all plugins of a specific extension point.",
        &["extension_point", "profile", "status"],
        &exponential_buckets(0.0001, 2.0, 12),
    ),
    pending: gauges("scheduler_pending_pods", "Number of pending pods, by the queue type.", &["queue"]),
    incoming: counters(
        "scheduler_queue_incoming_pods_total",
        "Number of pods added to scheduling queues by event and queue type.",
        &["event", "queue"],
    ),
    preemptions: counters(
        "scheduler_preemption_attempts_total",
        "Total preemption attempts in the cluster till now.",
        &[],
    ),
    victims: histograms(
        "scheduler_preemption_victims",
        "Number of selected preemption victims.",
        &[],
        &exponential_buckets(1.0, 2.0, 7),
    ),
    cache_size: gauges(
        "scheduler_cache_size",
        "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
        &["type"],
    ),
});

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Bound.
    Scheduled,
    /// No node fits.
    Unschedulable,
    /// Something broke.
    Error,
}

impl Attempt {
    fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

/// Counts an attempt.
pub fn attempted(profile: &str, result: Attempt, took: Duration) {
    let labels = [profile, result.as_str()];
    FAMILIES.attempts.with_label_values(&labels).inc();
    FAMILIES.attempt_duration.with_label_values(&labels).observe(took.as_secs_f64());
}

/// Counts a pod that was bound after so many attempts, so long after it came.
pub fn scheduled(attempts: u32, since_arrival: Duration) {
    let label = if attempts >= 15 { "15+".to_owned() } else { attempts.to_string() };
    FAMILIES.sli_duration.with_label_values(&[&label]).observe(since_arrival.as_secs_f64());
    FAMILIES.pod_attempts.with_label_values::<&str>(&[]).observe(f64::from(attempts));
}

/// Notes how long a decision took.
pub fn decided(took: Duration) {
    FAMILIES.algorithm_duration.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
}

/// Notes how long all plugins of an extension point took.
pub fn point(name: &str, profile: &str, status: &str, took: Duration) {
    FAMILIES.point_duration.with_label_values(&[name, profile, status]).observe(took.as_secs_f64());
}

/// Counts pods that entered a queue because of an event.
pub fn incoming(event: &str, queue: &str, pods: usize) {
    FAMILIES.incoming.with_label_values(&[event, queue]).inc_by(pods as u64);
}

/// Counts a preemption.
pub fn preempted(victims: usize) {
    FAMILIES.preemptions.with_label_values::<&str>(&[]).inc();
    FAMILIES.victims.with_label_values::<&str>(&[]).observe(victims as f64);
}

/// Shows sizes of queue and cache.
pub fn sizes(queue: Sizes, nodes: usize, pods: usize, assumed: usize) {
    let set = |family: &IntGaugeVec, label: &str, value: usize| {
        family.with_label_values(&[label]).set(i64::try_from(value).unwrap_or(i64::MAX));
    };
    set(&FAMILIES.pending, "active", queue.active);
    set(&FAMILIES.pending, "backoff", queue.backoff);
    set(&FAMILIES.pending, "unschedulable", queue.unschedulable);
    set(&FAMILIES.pending, "gated", queue.gated);
    set(&FAMILIES.cache_size, "nodes", nodes);
    set(&FAMILIES.cache_size, "pods", pods);
    set(&FAMILIES.cache_size, "assumed_pods", assumed);
}
