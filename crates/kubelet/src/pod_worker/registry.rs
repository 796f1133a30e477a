//! Pods on the node and their statuses, for everyone who reads: admission, the server, eviction, node status.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, PodStatus};
use parking_lot::RwLock;

use crate::pod::{PodExt, SharedPod};

/// A pod and its status as this kubelet sees it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The desired state.
    pub pod: SharedPod,
    /// The status that this kubelet has worked out; the API's until then.
    pub status: Arc<PodStatus>,
    /// Whether the node has taken the pod.
    pub admitted: bool,
}

/// Shared between workers, which write their own entry, and readers.
#[derive(Default)]
pub struct Registry {
    entries: RwLock<HashMap<String, Entry>>,
}

impl Registry {
    /// Adds a pod or replaces its desired state; the status stays.
    pub fn set_pod(&self, pod: &SharedPod) {
        let mut entries = self.entries.write();
        let status = || Arc::new(pod.status.clone().unwrap_or_default());
        entries
            .entry(pod.uid().to_owned())
            .and_modify(|entry| entry.pod = pod.clone())
            .or_insert_with(|| Entry { pod: pod.clone(), status: status(), admitted: false });
    }

    /// Replaces a pod's status.
    pub fn set_status(&self, uid: &str, status: Arc<PodStatus>) {
        if let Some(entry) = self.entries.write().get_mut(uid) {
            entry.status = status;
        }
    }

    /// Marks a pod as taken if `decide`, which sees the pods that are on the node, agrees. One pod at a time, so that two
    /// cannot both get the last place.
    pub fn admit<E>(&self, uid: &str, decide: impl FnOnce(&[SharedPod]) -> Result<(), E>) -> Result<(), E> {
        let mut entries = self.entries.write();
        let others: Vec<SharedPod> = entries
            .iter()
            .filter(|(other, entry)| *other != uid && entry.admitted && !entry.has_ended())
            .map(|(_, entry)| entry.pod.clone())
            .collect();
        decide(&others)?;
        if let Some(entry) = entries.get_mut(uid) {
            entry.admitted = true;
        }
        Ok(())
    }

    /// Forgets a pod.
    pub fn remove(&self, uid: &str) {
        self.entries.write().remove(uid);
    }

    /// All pods.
    pub fn list(&self) -> Vec<Entry> {
        self.entries.read().values().cloned().collect()
    }

    /// Pods that have not ended.
    pub fn active(&self) -> Vec<SharedPod> {
        self.entries
            .read()
            .values()
            .filter(|entry| !entry.has_ended())
            .map(|entry| entry.pod.clone())
            .collect()
    }

    /// A pod by UID.
    pub fn get(&self, uid: &str) -> Option<Entry> {
        self.entries.read().get(uid).cloned()
    }

    /// A pod by namespace and name. Mirror pods and their static pods share both; the static pod is the one found.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Entry> {
        let entries = self.entries.read();
        entries.values().find(|entry| entry.pod.namespace() == namespace && entry.pod.name() == name).cloned()
    }
}

impl Entry {
    /// Whether the pod has reached its final phase.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// The pod with the kubelet's status in it.
    pub fn with_status(&self) -> Pod {
        Pod { status: Some((*self.status).clone()), ..(*self.pod).clone() }
    }
}
