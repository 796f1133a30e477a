//! Upstream's storage metrics, by upstream's names.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Adds the storage metrics to a registry.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    let metrics = &*METRICS;
    let collectors: [Box<dyn Collector>; 9] = [
        Box::new(metrics.request_seconds.clone()),
        Box::new(metrics.requests.clone()),
        Box::new(metrics.request_errors.clone()),
        Box::new(metrics.decode_errors.clone()),
        Box::new(metrics.objects.clone()),
        Box::new(metrics.events_received.clone()),
        Box::new(metrics.events_dispatched.clone()),
        Box::new(metrics.terminated_watchers.clone()),
        Box::new(metrics.initializations.clone()),
    ];
    collectors.into_iter().try_for_each(|collector| registry.register(collector))
}

pub(crate) struct Metrics {
    request_seconds: HistogramVec,
    requests: IntCounterVec,
    request_errors: IntCounterVec,
    pub decode_errors: IntCounterVec,
    pub objects: IntGaugeVec,
    pub events_received: IntCounterVec,
    pub events_dispatched: IntCounterVec,
    pub terminated_watchers: IntCounterVec,
    pub initializations: IntCounterVec,
}

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let resource = &["group", "resource"];
    let request = &["operation", "group", "resource"];
    Metrics {
        request_seconds: valid(HistogramVec::new(
            HistogramOpts::new(
                "etcd_request_duration_seconds",
                "Etcd request latency by operation and resource.",
            )
            .buckets(vec![
                0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
                10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
            ]),
            request,
        )),
        requests: counter("etcd_requests_total", "Etcd requests by operation and resource.", request),
        request_errors: counter(
            "etcd_request_errors_total",
            "Failed etcd requests by operation and resource.",
            request,
        ),
        decode_errors: counter(
            "apiserver_storage_decode_errors_total",
            "Stored objects that could not be decoded.",
            resource,
        ),
        objects: valid(IntGaugeVec::new(
            Opts::new("apiserver_resource_objects", "Stored objects by resource."),
            resource,
        )),
        events_received: counter(
            "apiserver_storage_events_received_total",
            "Events received from etcd.",
            resource,
        ),
        events_dispatched: counter(
            "apiserver_watch_cache_events_dispatched_total",
            "Events handed to watchers.",
            resource,
        ),
        terminated_watchers: counter(
            "apiserver_terminated_watchers_total",
            "Watchers ended because they lagged.",
            resource,
        ),
        initializations: counter(
            "apiserver_watch_cache_initializations_total",
            "Loads of a cache from etcd.",
            resource,
        ),
    }
});

/// Counts one request to etcd.
pub(crate) fn etcd_request(operation: &str, group: &str, resource: &str, elapsed: Duration, ok: bool) {
    let labels = &[operation, group, resource];
    METRICS.request_seconds.with_label_values(labels).observe(elapsed.as_secs_f64());
    METRICS.requests.with_label_values(labels).inc();
    if !ok {
        METRICS.request_errors.with_label_values(labels).inc();
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    valid(IntCounterVec::new(Opts::new(name, help), labels))
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
