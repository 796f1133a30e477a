//! Events about pods and the node: what happened, seen by `kubectl describe`.

use api_types::k8s::api::core::v1::{ObjectReference, Pod};
use client::events::Recorder;

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
    fn pod(&self, pod: &Pod, field: Option<&str>, severity: Severity, reason: &str, message: String);
    /// An event about the node.
    fn node(&self, severity: Severity, reason: &str, message: String);
}

/// Events of a kubelet without an API server go to the log only.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOnly;

impl Events for LogOnly {
    fn pod(&self, pod: &Pod, field: Option<&str>, severity: Severity, reason: &str, message: String) {
        log(&pod.display(), field, severity, reason, &message);
    }

    fn node(&self, severity: Severity, reason: &str, message: String) {
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

/// Events that go to the API server, and to the log.
pub struct Recorded {
    recorder: Recorder,
    node: ObjectReference,
}

impl Recorded {
    /// Through `recorder`, for the node of this name.
    pub fn new(recorder: Recorder, node: &str) -> Self {
        // By convention a node's events carry its name as UID, since the kubelet may not know the real one yet.
        let node = ObjectReference {
            kind: Some("Node".into()),
            api_version: Some("v1".into()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        Self { recorder, node }
    }
}

impl Events for Recorded {
    fn pod(&self, pod: &Pod, field: Option<&str>, severity: Severity, reason: &str, message: String) {
        log(&pod.display(), field, severity, reason, &message);
        let regarding = ObjectReference {
            kind: Some("Pod".into()),
            api_version: Some("v1".into()),
            namespace: Some(pod.namespace().into()),
            name: Some(pod.name().into()),
            uid: Some(pod.uid().into()),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: field.map(str::to_owned),
        };
        self.recorder.about(regarding, severity.kind(), reason, "", message);
    }

    fn node(&self, severity: Severity, reason: &str, message: String) {
        log("node", None, severity, reason, &message);
        self.recorder.about(self.node.clone(), severity.kind(), reason, "", message);
    }
}

impl Severity {
    fn kind(self) -> client::events::Kind {
        match self {
            Self::Normal => client::events::Kind::Normal,
            Self::Warning => client::events::Kind::Warning,
        }
    }
}
