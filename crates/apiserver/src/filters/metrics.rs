//! `apiserver_request_total` and `apiserver_request_duration_seconds`.

use std::sync::LazyLock;
use std::time::Duration;

use component::metrics;
use http::StatusCode;
use prometheus::{HistogramVec, IntCounterVec};

use super::RequestInfo;
use crate::http::query::Query;

static TOTAL: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters(
        "apiserver_request_total",
        "Requests by verb, resource and response code",
        &["code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
    )
});

static DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histograms(
        "apiserver_request_duration_seconds",
        "Time to answer requests",
        &["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
        &[
            0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0,
            15.0, 20.0, 30.0, 45.0, 60.0,
        ],
    )
});

/// What a request is counted under.
pub(super) struct Labels {
    dry_run: &'static str,
    group: String,
    resource: String,
    scope: &'static str,
    subresource: String,
    verb: &'static str,
    version: String,
    long_running: bool,
}

impl Labels {
    pub fn of(info: &RequestInfo, query: &Query) -> Self {
        let scope = match (info.is_resource, info.name.is_empty(), info.namespace.is_empty()) {
            (false, ..) => "",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        };
        Labels {
            dry_run: if query.get("dryRun").is_some() { "All" } else { "" },
            group: info.group.clone(),
            resource: info.resource.clone(),
            scope,
            subresource: if info.is_resource { info.subresource.clone() } else { non_resource(&info.path) },
            verb: verb(&info.verb),
            version: info.version.clone(),
            long_running: info.verb == "watch",
        }
    }

    pub fn observe(&self, code: StatusCode, took: Duration) {
        let Labels { dry_run, group, resource, scope, subresource, verb, version, .. } = self;
        let common = ["apiserver", dry_run, group, resource, scope, subresource, verb, version];
        let mut with_code = vec![code.as_str()];
        with_code.extend(common);
        TOTAL.with_label_values(&with_code).inc();
        if !self.long_running {
            DURATION.with_label_values(&common).observe(took.as_secs_f64());
        }
    }
}

fn verb(verb: &str) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

/// Paths outside resources are counted under their first segment, so that clients cannot make up labels.
fn non_resource(path: &str) -> String {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match first {
        "api" | "apis" | "healthz" | "livez" | "readyz" | "metrics" | "openapi" | "version"
        | ".well-known" => {
            format!("/{first}")
        }
        _ => String::new(),
    }
}
