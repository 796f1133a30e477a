//! Metrics under the names that dashboards for cluster DNS know, CoreDNS's.

use std::sync::LazyLock;

use component::metrics::{counters, gauges, histograms};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// All metrics.
pub struct Metrics {
    /// Questions.
    pub requests: IntCounterVec,
    /// Answers.
    pub responses: IntCounterVec,
    /// Time to an answer.
    pub duration: Histogram,
    /// Remembered answers used.
    pub cache_hits: IntCounter,
    /// Questions outside the cluster that were not remembered.
    pub cache_misses: IntCounter,
    /// Answers of resolvers.
    pub forwarded: IntCounterVec,
    /// Resolvers that did not answer.
    pub forward_failures: IntCounterVec,
    /// Services known.
    pub services: IntGauge,
}

const NONE: &[&str] = &[];

/// The process's metrics.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    requests: counters(
        "coredns_dns_requests_total",
        "Counter of DNS requests made per zone, protocol and family.",
        &["zone", "proto", "family", "type"],
    ),
    responses: counters(
        "coredns_dns_responses_total",
        "Counter of response status codes.",
        &["zone", "rcode"],
    ),
    duration: histograms(
        "coredns_dns_request_duration_seconds",
        "Histogram of the time (in seconds) each request took per zone.",
        NONE,
        &component::metrics::exponential_buckets(0.00025, 2.0, 16),
    )
    .with_label_values(NONE),
    cache_hits: counters("coredns_cache_hits_total", "The count of cache hits.", NONE)
        .with_label_values(NONE),
    cache_misses: counters("coredns_cache_misses_total", "The count of cache misses.", NONE)
        .with_label_values(NONE),
    forwarded: counters(
        "coredns_forward_responses_total",
        "Counter of responses received from an upstream.",
        &["to", "rcode"],
    ),
    forward_failures: counters(
        "coredns_forward_failures_total",
        "Counter of upstreams that did not answer.",
        &["to"],
    ),
    services: gauges("coxswain_dns_services", "Services that DNS has names for.", NONE)
        .with_label_values(NONE),
});
