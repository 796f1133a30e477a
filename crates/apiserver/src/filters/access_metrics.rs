//! Metrics of authentication and authorization.

use std::sync::LazyLock;
use std::time::Duration;

use access::UserInfo;
use access::authz::{Decision, Verdict};
use component::metrics;
use prometheus::{HistogramVec, IntCounterVec};

static AUTHENTICATIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters("authentication_attempts", "Requests by the result of authentication", &["result"])
});

static AUTHENTICATION_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histograms(
        "authentication_duration_seconds",
        "Time that authentication takes",
        &["result"],
        &metrics::exponential_buckets(0.001, 2.0, 15),
    )
});

static USERS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters("authenticated_user_requests", "Authenticated requests by kind of user", &["username"])
});

static AUTHORIZATIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters("authorization_attempts_total", "Requests by the result of authorization", &["result"])
});

static AUTHORIZATION_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histograms(
        "authorization_duration_seconds",
        "Time that authorization takes",
        &["result"],
        &metrics::exponential_buckets(0.001, 2.0, 15),
    )
});

/// Counts an authentication; `user` is `None` when it failed.
pub(super) fn authenticated(user: Option<&UserInfo>, took: Duration) {
    let result = if user.is_some() { "success" } else { "failure" };
    AUTHENTICATIONS.with_label_values(&[result]).inc();
    AUTHENTICATION_SECONDS.with_label_values(&[result]).observe(took.as_secs_f64());
    if let Some(user) = user {
        USERS.with_label_values(&[kind(&user.name)]).inc();
    }
}

/// Counts a decision.
pub(super) fn authorized(verdict: &Verdict, took: Duration) {
    let result = match (verdict.decision, verdict.error.is_empty()) {
        (_, false) => "error",
        (Decision::Allow, _) => "allowed",
        (Decision::Deny, _) => "denied",
        (Decision::NoOpinion, _) => "no-opinion",
    };
    AUTHORIZATIONS.with_label_values(&[result]).inc();
    AUTHORIZATION_SECONDS.with_label_values(&[result]).observe(took.as_secs_f64());
}

/// User names are without number; a label has few values.
fn kind(user: &str) -> &'static str {
    match user {
        "admin" => "admin",
        "client" => "client",
        "kube_proxy" => "kube_proxy",
        "kubelet" => "kubelet",
        "system:serviceaccount:kube-system:default" => "system:serviceaccount:kube-system:default",
        email if email.contains('@') => "email_id",
        _ => "other",
    }
}
