//! Metrics of priority and fairness. Handles are looked up when the configuration changes, not for each request.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use component::metrics;
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::limits::Bounds;
use super::queues::Rejection;

const FLOW: [&str; 2] = ["priority_level", "flow_schema"];
const SECONDS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

struct Families {
    rejected: IntCounterVec,
    dispatched: IntCounterVec,
    in_queue: IntGaugeVec,
    executing: IntGaugeVec,
    executing_seats: IntGaugeVec,
    wait_seconds: HistogramVec,
    execution_seconds: HistogramVec,
    estimated_seats: HistogramVec,
    limits: [IntGaugeVec; 4],
    demand: [GaugeVec; 5],
}

static FAMILIES: LazyLock<Families> = LazyLock::new(|| Families {
    rejected: metrics::counters(
        "apiserver_flowcontrol_rejected_requests_total",
        "Requests refused by priority and fairness",
        &["priority_level", "flow_schema", "reason"],
    ),
    dispatched: metrics::counters(
        "apiserver_flowcontrol_dispatched_requests_total",
        "Requests that priority and fairness let begin",
        &FLOW,
    ),
    in_queue: metrics::gauges("apiserver_flowcontrol_current_inqueue_requests", "Requests in queues", &FLOW),
    executing: metrics::gauges(
        "apiserver_flowcontrol_current_executing_requests",
        "Requests that run",
        &FLOW,
    ),
    executing_seats: metrics::gauges(
        "apiserver_flowcontrol_current_executing_seats",
        "Seats of requests that run",
        &FLOW,
    ),
    wait_seconds: metrics::histograms(
        "apiserver_flowcontrol_request_wait_duration_seconds",
        "Time that requests spend in queues",
        &["priority_level", "flow_schema", "execute"],
        &SECONDS,
    ),
    execution_seconds: metrics::histograms(
        "apiserver_flowcontrol_request_execution_seconds",
        "Time that requests run",
        &["priority_level", "flow_schema", "type"],
        &SECONDS,
    ),
    estimated_seats: metrics::histograms(
        "apiserver_flowcontrol_work_estimated_seats",
        "Seats that requests are estimated to need",
        &FLOW,
        &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0],
    ),
    limits: [
        ("nominal", "by its shares"),
        ("lower", "that it keeps when it lends"),
        ("upper", "that it may have by borrowing"),
        ("current", "that it has now"),
    ]
    .map(|(which, what)| {
        let name = format!("apiserver_flowcontrol_{which}_limit_seats");
        metrics::gauges(&name, &format!("Seats of a priority level {what}"), &["priority_level"])
    }),
    demand: [
        "demand_seats_average",
        "demand_seats_stdev",
        "demand_seats_high_watermark",
        "demand_seats_smoothed",
        "target_seats",
    ]
    .map(|which| {
        let name = format!("apiserver_flowcontrol_{which}");
        metrics::float_gauges(&name, "Seats that a priority level wanted lately", &["priority_level"])
    }),
});

/// The metrics of one flow schema at its level.
#[derive(Clone)]
pub struct Flow(Arc<FlowHandles>);

struct FlowHandles {
    labels: [String; 2],
    dispatched: IntCounter,
    in_queue: IntGauge,
    executing: IntGauge,
    executing_seats: IntGauge,
    waited: Histogram,
    waited_in_vain: Histogram,
    execution: Histogram,
    estimated: Histogram,
}

/// A request that is counted as waiting until this is dropped.
pub struct Queued(IntGauge);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Flow {
    pub fn new(level: &str, schema: &str) -> Self {
        let (families, labels) = (&*FAMILIES, [level, schema]);
        let waited = |execute| families.wait_seconds.with_label_values(&[level, schema, execute]);
        Flow(Arc::new(FlowHandles {
            labels: labels.map(str::to_owned),
            dispatched: families.dispatched.with_label_values(&labels),
            in_queue: families.in_queue.with_label_values(&labels),
            executing: families.executing.with_label_values(&labels),
            executing_seats: families.executing_seats.with_label_values(&labels),
            waited: waited("true"),
            waited_in_vain: waited("false"),
            execution: families.execution_seconds.with_label_values(&[level, schema, "regular"]),
            estimated: families.estimated_seats.with_label_values(&labels),
        }))
    }

    pub fn estimated(&self, seats: u32) {
        self.0.estimated.observe(f64::from(seats));
    }

    pub fn queued(&self) -> Queued {
        self.0.in_queue.inc();
        Queued(self.0.in_queue.clone())
    }

    pub fn waited(&self, time: Duration, executed: bool) {
        let histogram = if executed { &self.0.waited } else { &self.0.waited_in_vain };
        histogram.observe(time.as_secs_f64());
    }

    pub fn rejected(&self, why: Rejection) {
        let [level, schema] = &self.0.labels;
        FAMILIES.rejected.with_label_values(&[level, schema, why.as_str()]).inc();
    }

    pub fn began(&self, seats: u32) {
        self.0.dispatched.inc();
        self.0.executing.inc();
        self.0.executing_seats.add(i64::from(seats));
    }

    pub fn finished(&self, seats: u32, took: Duration) {
        self.0.executing.dec();
        self.0.executing_seats.sub(i64::from(seats));
        self.0.execution.observe(took.as_secs_f64());
    }
}

/// The gauges of one level.
pub struct LevelGauges {
    limits: [IntGauge; 4],
    demand: [prometheus::Gauge; 5],
}

impl LevelGauges {
    pub fn new(level: &str) -> Self {
        LevelGauges {
            limits: FAMILIES.limits.each_ref().map(|family| family.with_label_values(&[level])),
            demand: FAMILIES.demand.each_ref().map(|family| family.with_label_values(&[level])),
        }
    }

    pub fn bounds(&self, bounds: Bounds) {
        for (gauge, seats) in self.limits.iter().zip([bounds.nominal, bounds.min, bounds.max]) {
            gauge.set(i64::from(seats));
        }
    }

    pub fn limit(&self, seats: u32) {
        self.limits[3].set(i64::from(seats));
    }

    /// Average, deviation and peak of the demand, the demand smoothed, and the seats aimed at.
    pub fn demand(&self, values: [f64; 5]) {
        for (gauge, value) in self.demand.iter().zip(values) {
            gauge.set(value);
        }
    }
}
