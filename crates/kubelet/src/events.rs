//! Events about pods and the node: what happened, seen by `kubectl describe`.

use api_types::k8s::api::core::v1::Pod;

use crate::pod::PodExt;

/// Whether something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Part of normal life.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Takes events; never blocks. Names of `reason` are upstream's, because dashboards match them.
pub trait Events: Send + Sync {
    /// An event about a pod, or about one of its containers (`field` such as `spec.containers{web}`).
    fn pod(&self, pod: &Pod, field: Option<&str>, severity: Severity, reason: &'static str, message: String);
    /// An event about the node.
    fn node(&self, severity: Severity, reason: &'static str, message: String);
}

/// Events of a kubelet without an API server go to the log only.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOnly;

impl Events for LogOnly {
    fn pod(&self, pod: &Pod, field: Option<&str>, severity: Severity, reason: &'static str, message: String) {
        log(&pod.display(), field, severity, reason, &message);
    }

    fn node(&self, severity: Severity, reason: &'static str, message: String) {
        log("node", None, severity, reason, &message);
    }
}

/// Writes an event to the log.
pub fn log(object: &str, field: Option<&str>, severity: Severity, reason: &str, message: &str) {
    match severity {
        Severity::Normal => tracing::info!(object, field, reason, message, "Event"),
        Severity::Warning => tracing::warn!(object, field, reason, message, "Event"),
    }
}
