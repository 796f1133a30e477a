//! `apiserver_admission_controller_admission_duration_seconds` and its sum over a step.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use component::metrics;
use prometheus::{Histogram, HistogramVec};

use super::Operation;

/// How many operations and steps there are.
const OPERATIONS: usize = 4;
const STEPS: usize = 2;

const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

static CONTROLLER: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histograms(
        "apiserver_admission_controller_admission_duration_seconds",
        "Time that an admission plug-in takes",
        &["name", "operation", "rejected", "type"],
        &BUCKETS,
    )
});

static STEP: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histograms(
        "apiserver_admission_step_admission_duration_seconds",
        "Time that all admission plug-ins of a step take",
        &["operation", "rejected", "type"],
        &BUCKETS,
    )
});

/// A step of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Objects are changed.
    Admit,
    /// Objects are looked at.
    Validate,
}

impl Step {
    /// The value of label `type`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

impl Operation {
    /// As rules and metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// The histograms of one plug-in, each found at its first use and not at every write. Rejections are rare and
/// looked up.
#[derive(Clone)]
pub(super) struct Timers {
    name: &'static str,
    passed: Arc<[[OnceLock<Histogram>; STEPS]; OPERATIONS]>,
}

impl Timers {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, passed: Arc::default() }
    }

    pub(super) fn observe(&self, operation: Operation, step: Step, rejected: bool, took: Duration) {
        let find = |rejected: &str| {
            CONTROLLER.with_label_values(&[self.name, operation.label(), rejected, step.label()])
        };
        let seconds = took.as_secs_f64();
        if rejected {
            find("true").observe(seconds);
        } else {
            self.passed[operation as usize][step as usize].get_or_init(|| find("false")).observe(seconds);
        }
    }
}

/// Counts a whole step.
pub(super) fn observe_step(operation: Operation, step: Step, rejected: bool, took: Duration) {
    let rejected = if rejected { "true" } else { "false" };
    STEP.with_label_values(&[operation.label(), rejected, step.label()]).observe(took.as_secs_f64());
}
