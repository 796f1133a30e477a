//! `apiserver_admission_webhook_*`.

use std::sync::LazyLock;
use std::time::Duration;

use component::metrics;
use prometheus::{HistogramVec, IntCounterVec};

use crate::admission::{Operation, Step};

static DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histograms(
        "apiserver_admission_webhook_admission_duration_seconds",
        "Time that an admission webhook takes",
        &["name", "operation", "rejected", "type"],
        &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0],
    )
});

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters(
        "apiserver_admission_webhook_request_total",
        "Requests to admission webhooks",
        &["code", "name", "operation", "rejected", "type"],
    )
});

static REJECTIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters(
        "apiserver_admission_webhook_rejection_count",
        "Requests that admission webhooks rejected, by refusal or by failing",
        &["error_type", "name", "operation", "rejection_code", "type"],
    )
});

static FAILED_OPEN: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters(
        "apiserver_admission_webhook_fail_open_count",
        "Requests that passed although an admission webhook failed",
        &["name", "type"],
    )
});

/// One call of a hook.
pub struct Call<'a> {
    pub hook: &'a str,
    pub operation: Operation,
    pub step: Step,
    pub took: Duration,
}

impl Call<'_> {
    /// The hook let the request pass.
    pub fn passed(&self) {
        self.observe("200", false);
    }

    /// The hook refused the request.
    pub fn refused(&self, code: u16) {
        self.observe(&code.to_string(), true);
        self.reject("no_error", code);
    }

    /// The hook could not be asked.
    pub fn failed(&self, timed_out: bool, open: bool) {
        let code = if timed_out { 504 } else { 500 };
        self.observe(&code.to_string(), !open);
        match open {
            true => FAILED_OPEN.with_label_values(&[self.hook, self.kind()]).inc(),
            false => self.reject("calling_webhook_error", code),
        }
    }

    fn observe(&self, code: &str, rejected: bool) {
        let rejected = if rejected { "true" } else { "false" };
        let (operation, kind) = (self.operation.label(), self.kind());
        DURATION.with_label_values(&[self.hook, operation, rejected, kind]).observe(self.took.as_secs_f64());
        REQUESTS.with_label_values(&[code, self.hook, operation, rejected, kind]).inc();
    }

    fn reject(&self, error_type: &str, code: u16) {
        let labels = [error_type, self.hook, self.operation.label(), &code.to_string(), self.kind()];
        REJECTIONS.with_label_values(&labels).inc();
    }

    fn kind(&self) -> &'static str {
        match self.step {
            Step::Admit => "admit",
            Step::Validate => "validating",
        }
    }
}
