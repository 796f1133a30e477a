//! A node with the sums over its pods.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Taint};

use super::pod::{HostPort, PodInfo};
use super::resources::{Resources, pods_of};
use super::term::Labels;

/// Position of a node in the dense arrays of the cache; stays the same while the node exists.
pub type Slot = usize;

/// What the scheduler knows of one node. Cloned only to try out preemptions.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Position in the cache.
    pub slot: Slot,
    /// Name.
    pub name: Arc<str>,
    /// The object; `None` while pods name a node that does not exist.
    pub node: Option<Arc<Node>>,
    /// Pods bound or assumed here.
    pub pods: Vec<Arc<PodInfo>>,
    /// Sum of what they ask for.
    pub requested: Resources,
    /// The same for CPU with defaults, for scores.
    pub nonzero_cpu: i64,
    /// The same for memory with defaults, for scores.
    pub nonzero_memory: i64,
    /// What can be given out.
    pub allocatable: Resources,
    /// How many pods may run here.
    pub allowed_pods: i64,
    /// Host ports in use.
    pub ports: Vec<HostPort>,
    /// Images present, as sorted ids of the cache's image table.
    pub images: Vec<u32>,
    /// How many pods here have required anti-affinity; mostly none.
    pub with_anti_affinity: usize,
}

impl NodeInfo {
    /// A node that has only a name.
    pub fn named(slot: Slot, name: Arc<str>) -> Self {
        Self { slot, name, ..Self::default() }
    }

    /// Takes over the object's capacity.
    pub fn set_node(&mut self, node: Option<Arc<Node>>) {
        let allocatable = node.as_ref().and_then(|node| node.status.as_ref()?.allocatable.as_ref());
        self.allocatable = allocatable.map(Resources::parse).unwrap_or_default();
        self.allowed_pods = allocatable.map_or(0, pods_of);
        self.node = node;
    }

    /// Adds a pod to the sums.
    pub fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests.exact);
        self.nonzero_cpu += pod.requests.nonzero_cpu;
        self.nonzero_memory += pod.requests.nonzero_memory;
        self.ports.extend(pod.ports.iter().cloned());
        self.with_anti_affinity += usize::from(!pod.anti_affinity.is_empty());
        self.pods.push(pod);
    }

    /// Takes a pod out of the sums; gives it back when it was there.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let at = self.pods.iter().position(|pod| *pod.uid == *uid)?;
        let pod = self.pods.swap_remove(at);
        self.requested.subtract(&pod.requests.exact);
        self.nonzero_cpu -= pod.requests.nonzero_cpu;
        self.nonzero_memory -= pod.requests.nonzero_memory;
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|known| known == port) {
                self.ports.swap_remove(at);
            }
        }
        self.with_anti_affinity -= usize::from(!pod.anti_affinity.is_empty());
        Some(pod)
    }

    /// The node's labels.
    pub fn labels(&self) -> &Labels {
        static NONE: Labels = Labels::new();
        self.node.as_ref().and_then(|node| node.metadata.labels.as_ref()).unwrap_or(&NONE)
    }

    /// The node's taints.
    pub fn taints(&self) -> &[Taint] {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    /// Whether the node is cordoned.
    pub fn unschedulable(&self) -> bool {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.unschedulable).unwrap_or(false)
    }

    /// Region and zone, which name the failure domain together.
    pub fn zone(&self) -> (&str, &str) {
        let label = |key: &str| self.labels().get(key).map_or("", String::as_str);
        (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
    }
}
