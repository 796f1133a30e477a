//! Questions about a pod that many parts ask, answered in one place and with the API's defaults filled in.

pub mod containers;
pub mod dns;
pub mod env;
pub mod expand;
pub mod fields;
pub mod resources;
pub mod security;

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, PodSpec};

/// Annotation of a mirror pod: the [`CONFIG_HASH`] of the static pod that it mirrors.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// Annotation of a static pod: fingerprint of its manifest.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Annotation: where the pod came from (`file` or `api`).
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation: when this kubelet first saw a static pod.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

/// Pods are shared, never changed in place.
pub type SharedPod = Arc<Pod>;

/// Quality of service, from requests and limits (KEP-753 sidecars count like containers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Limits equal requests for CPU and memory in every container.
    Guaranteed,
    /// Some request or limit is set.
    Burstable,
    /// Nothing is set.
    BestEffort,
}

/// A pod's restart policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Containers are always started again.
    Always,
    /// Containers are started again after a failure.
    OnFailure,
    /// Containers run once.
    Never,
}

/// Accessors with the API's defaults.
pub trait PodExt {
    /// metadata.uid
    fn uid(&self) -> &str;
    /// metadata.name
    fn name(&self) -> &str;
    /// metadata.namespace
    fn namespace(&self) -> &str;
    /// `namespace/name`, for messages.
    fn display(&self) -> String;
    /// An annotation's value.
    fn annotation(&self, key: &str) -> Option<&str>;
    /// The spec; an empty one when absent.
    fn spec(&self) -> &PodSpec;
    /// spec.terminationGracePeriodSeconds, or what a running deletion asks for.
    fn grace_period(&self) -> i64;
    /// Whether it was read from a file on this node.
    fn is_static(&self) -> bool;
    /// Whether it is the API's picture of a static pod.
    fn is_mirror(&self) -> bool;
    /// Whether the API has marked it for deletion.
    fn is_deleting(&self) -> bool;
    /// Static, mirror and system-critical pods are admitted by evicting others and are never evicted themselves.
    fn is_critical(&self) -> bool;
    /// Whether the pod uses the node's own network.
    fn host_network(&self) -> bool;
    /// The pod-level restart policy.
    fn restart_policy(&self) -> RestartPolicy;
    /// Quality of service class.
    fn qos(&self) -> Qos;
}

impl PodExt for Pod {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    fn display(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::OnceLock<PodSpec> = std::sync::OnceLock::new();
        self.spec.as_ref().unwrap_or_else(|| EMPTY.get_or_init(PodSpec::default))
    }

    fn grace_period(&self) -> i64 {
        let asked = self.metadata.deletion_grace_period_seconds.filter(|_| self.is_deleting());
        asked.or(self.spec().termination_grace_period_seconds).unwrap_or(30)
    }

    fn is_static(&self) -> bool {
        self.annotation(CONFIG_SOURCE).is_some_and(|source| source != "api")
    }

    fn is_mirror(&self) -> bool {
        self.annotation(CONFIG_MIRROR).is_some()
    }

    fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn is_critical(&self) -> bool {
        const SYSTEM_CRITICAL: i32 = 2_000_000_000;
        self.is_static()
            || self.is_mirror()
            || self.spec().priority.is_some_and(|value| value >= SYSTEM_CRITICAL)
    }

    fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }

    fn restart_policy(&self) -> RestartPolicy {
        match self.spec().restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }

    fn qos(&self) -> Qos {
        resources::qos(self)
    }
}

impl Qos {
    /// As written in status.qosClass.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}
