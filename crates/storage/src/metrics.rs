//! Upstream's storage metrics, by upstream's names, labels and buckets.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Adds the storage metrics to a registry.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    let Metrics { requests, resources } = &*ALL;
    let collectors: [Box<dyn Collector>; 12] = [
        Box::new(requests.seconds.clone()),
        Box::new(requests.total.clone()),
        Box::new(requests.errors.clone()),
        Box::new(resources.decode_errors.clone()),
        Box::new(resources.objects.clone()),
        Box::new(resources.revision.clone()),
        Box::new(resources.events_received.clone()),
        Box::new(resources.events_dispatched.clone()),
        Box::new(resources.terminated_watchers.clone()),
        Box::new(resources.initializations.clone()),
        Box::new(resources.consistent_reads.clone()),
        Box::new(resources.read_wait_seconds.clone()),
    ];
    collectors.into_iter().try_for_each(|collector| registry.register(collector))
}

/// Counts one request to etcd.
pub(crate) fn etcd_request(operation: &str, group: &str, resource: &str, elapsed: Duration, ok: bool) {
    let labels = &[operation, group, resource];
    let requests = &ALL.requests;
    requests.seconds.with_label_values(labels).observe(elapsed.as_secs_f64());
    requests.total.with_label_values(labels).inc();
    if !ok {
        requests.errors.with_label_values(labels).inc();
    }
}

/// The metrics of one resource, looked up once.
pub(crate) struct ResourceMetrics {
    pub decode_errors: IntCounter,
    pub objects: IntGauge,
    /// The revision of the newest change.
    pub revision: IntGauge,
    pub events_received: IntCounter,
    pub events_dispatched: IntCounter,
    pub terminated_watchers: IntCounter,
    pub initializations: IntCounter,
    consistent_reads: IntCounter,
    failed_consistent_reads: IntCounter,
    read_wait_seconds: Histogram,
}

impl ResourceMetrics {
    pub fn new(group: &str, resource: &str) -> Self {
        let vectors = &ALL.resources;
        let labels = &[group, resource];
        let reads =
            |success| vectors.consistent_reads.with_label_values(&["false", group, resource, success]);
        Self {
            decode_errors: vectors.decode_errors.with_label_values(labels),
            objects: vectors.objects.with_label_values(labels),
            revision: vectors.revision.with_label_values(labels),
            events_received: vectors.events_received.with_label_values(labels),
            events_dispatched: vectors.events_dispatched.with_label_values(labels),
            terminated_watchers: vectors.terminated_watchers.with_label_values(labels),
            initializations: vectors.initializations.with_label_values(labels),
            consistent_reads: reads("true"),
            failed_consistent_reads: reads("false"),
            read_wait_seconds: vectors.read_wait_seconds.with_label_values(labels),
        }
    }

    /// Counts a read that had to be consistent, and how long it waited for the cache.
    pub fn consistent_read(&self, waited: Duration, ok: bool) {
        self.read_wait_seconds.observe(waited.as_secs_f64());
        let reads = if ok { &self.consistent_reads } else { &self.failed_consistent_reads };
        reads.inc();
    }
}

struct Metrics {
    requests: Requests,
    resources: Resources,
}

struct Requests {
    seconds: HistogramVec,
    total: IntCounterVec,
    errors: IntCounterVec,
}

struct Resources {
    decode_errors: IntCounterVec,
    objects: IntGaugeVec,
    revision: IntGaugeVec,
    events_received: IntCounterVec,
    events_dispatched: IntCounterVec,
    terminated_watchers: IntCounterVec,
    initializations: IntCounterVec,
    consistent_reads: IntCounterVec,
    read_wait_seconds: HistogramVec,
}

static ALL: LazyLock<Metrics> = LazyLock::new(|| Metrics { requests: requests(), resources: resources() });

fn requests() -> Requests {
    let labels = &["operation", "group", "resource"];
    let buckets = [
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0,
        15.0, 20.0, 30.0, 45.0, 60.0,
    ];
    Requests {
        seconds: histogram("etcd_request_duration_seconds", "Latency of requests to etcd.", labels, &buckets),
        total: counter("etcd_requests_total", "Requests to etcd.", labels),
        errors: counter("etcd_request_errors_total", "Requests to etcd that failed.", labels),
    }
}

fn resources() -> Resources {
    let labels = &["group", "resource"];
    let read_labels = &["fallback", "group", "resource", "success"];
    let wait_buckets = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0];
    let count = |name, help| counter(name, help, labels);
    Resources {
        decode_errors: count(
            "apiserver_storage_decode_errors_total",
            "Stored objects that cannot be decoded.",
        ),
        objects: gauge("apiserver_resource_objects", "Stored objects.", labels),
        revision: gauge("apiserver_watch_cache_resource_version", "Revision of the newest change.", labels),
        events_received: count("apiserver_storage_events_received_total", "Events received from etcd."),
        events_dispatched: count(
            "apiserver_watch_cache_events_dispatched_total",
            "Events handed to watchers.",
        ),
        terminated_watchers: count(
            "apiserver_terminated_watchers_total",
            "Watchers ended because they lagged.",
        ),
        initializations: count("apiserver_watch_cache_initializations_total", "Loads of a cache from etcd."),
        consistent_reads: counter(
            "apiserver_watch_cache_consistent_read_total",
            "Consistent reads served from the cache.",
            read_labels,
        ),
        read_wait_seconds: histogram(
            "apiserver_watch_cache_read_wait_seconds",
            "How long consistent reads waited for the cache.",
            labels,
            &wait_buckets,
        ),
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    valid(IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    valid(IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histogram(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    valid(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

/// Names and labels are constants of this file; a test constructs them all.
fn valid<T>(metric: prometheus::Result<T>) -> T {
    match metric {
        Ok(metric) => metric,
        Err(error) => unreachable!("a metric of this file is malformed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_metrics_register() {
        super::register(&prometheus::Registry::new()).unwrap();
    }
}
