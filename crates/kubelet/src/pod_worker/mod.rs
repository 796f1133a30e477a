//! Who owns a pod.
//!
//! ```text
//!  sources (API, files) ──► Manager ──► one worker task per pod UID ──► steps
//!  relist, events ─────────►   │              │ plan(pod, view, health) → kill, sandbox, start
//!                              │              └──► status, and at the end: all of the pod is gone
//!                              └── orphans in the runtime or on the disk get a worker that only ends them
//! ```
//!
//! A worker owns its pod from first sight to last cleanup; nobody else decides that the pod has ended. It keeps nothing that it
//! could not read again from the runtime, the disk and the API, so a killed kubelet goes on where it was, and running
//! containers are not touched.

mod backoff;
mod manager;
mod plan;
pub mod registry;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::PodStatus;

use crate::cri::Runtime;
use crate::cri::relist::Changed;
use crate::events::Events;
use crate::host::Host;
use crate::pod::SharedPod;
use crate::steps::Steps;

pub use manager::Manager;

/// Where a pod comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The API server.
    Api,
    /// A file on this node.
    File,
}

/// What the manager is told.
#[derive(Debug)]
pub enum Input {
    /// A pod is wanted, or has changed.
    Set(Source, SharedPod),
    /// A pod, by UID, is not in its source any more.
    Removed(String),
    /// The source has told all that it had at the start.
    Ready(Source),
    /// The runtime has news.
    Runtime(Changed),
    /// Something that the pods of a namespace may refer to has changed.
    Objects {
        /// The namespace.
        namespace: String,
    },
    /// The runtime or the network is there again, or gone: everybody looks anew.
    Wake,
    /// A pod has to leave the node.
    Evict {
        /// Its UID.
        uid: String,
        /// Reason and message of its failed status.
        verdict: (String, String),
        /// How long its containers have, seconds.
        grace: i64,
    },
}

/// Why a pod has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is marked for deletion in the API.
    Deleted,
    /// Its source does not have it any more.
    Removed,
}

/// What a worker is to bring about.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The pod.
    pub pod: SharedPod,
    /// Set once the pod has to end.
    pub end: Option<End>,
    /// Set once the kubelet has failed the pod: reason, message, grace.
    pub verdict: Option<(String, String, i64)>,
}

/// Takes the statuses of pods to where they are wanted.
pub trait StatusSink: Send + Sync {
    /// A new status.
    fn update(&self, pod: &SharedPod, status: Arc<PodStatus>);
    /// Nothing of the pod is left on the node: the API may forget it.
    fn gone(&self, pod: &SharedPod, status: Arc<PodStatus>);
}

/// What every worker uses.
pub struct Tools {
    /// The steps.
    pub steps: Steps,
    /// The container runtime.
    pub runtime: Runtime,
    /// Where events go.
    pub events: Arc<dyn Events>,
    /// Where statuses go.
    pub sink: Arc<dyn StatusSink>,
    /// The node.
    pub host: Arc<Host>,
    /// Pods and statuses for readers.
    pub registry: Arc<registry::Registry>,
    /// syncFrequency: how often a pod is looked at when nothing happens.
    pub sync_period: Duration,
    /// crashLoopBackOff.maxContainerRestartPeriod
    pub longest_backoff: Duration,
}
