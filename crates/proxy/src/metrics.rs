//! Metrics, with upstream's names, labels and buckets.

use std::sync::LazyLock;

use component::metrics::{counters, exponential_buckets, float_gauges, gauges, histograms};
use nfnetlink::Family;
use prometheus::{GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge};

/// No labels.
const NONE: &[&str] = &[];

/// All metrics of the proxy.
pub struct Metrics {
    /// Time of a sync.
    pub sync_duration: HistogramVec,
    /// Time of a sync that wrote everything.
    pub full_duration: HistogramVec,
    /// Time of a sync that wrote differences.
    pub partial_duration: HistogramVec,
    /// Time from a change in the cluster until it was programmed.
    pub programming_duration: HistogramVec,
    /// When a sync last succeeded.
    pub last_sync: GaugeVec,
    /// When a change last arrived.
    pub last_queued: GaugeVec,
    /// Syncs that failed.
    pub sync_failures: IntCounterVec,
    /// Changes of endpoints seen.
    pub endpoint_changes: IntCounter,
    /// Changes of Services seen.
    pub service_changes: IntCounter,
    /// Changes of endpoints and Services not yet programmed.
    pub pending: IntGauge,
    /// Stale flows deleted.
    pub flows_deleted: IntCounterVec,
    /// Time of looking for stale flows.
    pub flows_duration: HistogramVec,
    /// Answers of `/healthz`.
    pub healthz: IntCounterVec,
    /// Answers of `/livez`.
    pub livez: IntCounterVec,
}

/// The process's metrics.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let doubling = exponential_buckets(0.001, 2.0, 15);
    let family = &["ip_family"];
    let duration = |name, help| histograms(name, help, family, &doubling);
    Metrics {
        sync_duration: duration(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds",
        ),
        full_duration: duration(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds for full resyncs",
        ),
        partial_duration: duration(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds for partial resyncs",
        ),
        programming_duration: histograms(
            "kubeproxy_network_programming_duration_seconds",
            "In Cluster Network Programming Latency in seconds",
            family,
            &programming_buckets(),
        ),
        last_sync: float_gauges(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "The last time proxy rules were successfully synced",
            family,
        ),
        last_queued: float_gauges(
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "The last time a sync of proxy rules was queued",
            family,
        ),
        sync_failures: counters(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
            "Cumulative proxy nftables sync failures",
            family,
        ),
        endpoint_changes: counters(
            "kubeproxy_sync_proxy_rules_endpoint_changes_total",
            "Cumulative proxy rules Endpoint changes",
            &[],
        )
        .with_label_values(NONE),
        service_changes: counters(
            "kubeproxy_sync_proxy_rules_service_changes_total",
            "Cumulative proxy rules Service changes",
            &[],
        )
        .with_label_values(NONE),
        pending: gauges(
            "kubeproxy_sync_proxy_rules_service_changes_pending",
            "Pending proxy rules Service changes",
            &[],
        )
        .with_label_values(NONE),
        flows_deleted: counters(
            "kubeproxy_conntrack_reconciler_deleted_entries_total",
            "Cumulative conntrack flows deleted by conntrack reconciler",
            family,
        ),
        flows_duration: duration(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "ReconcileConntrackFlowsLatency latency in seconds",
        ),
        healthz: counters("kubeproxy_proxy_healthz_total", "Cumulative proxy healthz HTTP status", &["code"]),
        livez: counters("kubeproxy_proxy_livez_total", "Cumulative proxy livez HTTP status", &["code"]),
    }
});

/// The label value of a family.
pub fn label(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn programming_buckets() -> Vec<f64> {
    let mut buckets = vec![0.25, 0.5];
    buckets.extend((1..60).map(f64::from));
    buckets.extend((60..120).step_by(5).map(f64::from));
    buckets.extend((120..=300).step_by(30).map(f64::from));
    buckets
}
