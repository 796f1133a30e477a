//! What the rest of the kubelet may know about the node it runs on.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::Node;
use api_types::k8s::apimachinery::pkg::api::resource::Quantity;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::pod::fields;
use crate::pod::resources::whole;

/// The node as its pods see it. Cheap to share; changes while the kubelet runs.
pub struct Host {
    /// The Node object's name.
    pub name: String,
    state: RwLock<State>,
    asked: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    ips: Vec<String>,
    capacity: BTreeMap<String, Quantity>,
    allocatable: BTreeMap<String, Quantity>,
    runtime_problem: Option<String>,
    network_problem: Option<String>,
    node: Option<Arc<Node>>,
}

impl Host {
    /// A node with its addresses and resources.
    pub fn new(
        name: String,
        ips: Vec<String>,
        capacity: BTreeMap<String, Quantity>,
        allocatable: BTreeMap<String, Quantity>,
    ) -> Self {
        // Not ready until the runtime has been asked once.
        let unknown = Some("container runtime status check may not have completed yet".to_owned());
        let state = State {
            ips,
            capacity,
            allocatable,
            runtime_problem: unknown.clone(),
            network_problem: unknown,
            node: None,
        };
        Self { name, state: RwLock::new(state), asked: watch::Sender::new(false) }
    }

    /// Node addresses, the primary first.
    pub fn ips(&self) -> Vec<String> {
        self.state.read().ips.clone()
    }

    /// What the node has.
    pub fn capacity(&self) -> BTreeMap<String, Quantity> {
        self.state.read().capacity.clone()
    }

    /// What the node offers to pods.
    pub fn allocatable(&self) -> BTreeMap<String, Quantity> {
        self.state.read().allocatable.clone()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> i64 {
        self.state.read().capacity.get("memory").map_or(0, whole)
    }

    /// Why the runtime cannot run pods, if it cannot.
    pub fn runtime_problem(&self) -> Option<String> {
        self.state.read().runtime_problem.clone()
    }

    /// Why pods cannot have a network of their own, if they cannot.
    pub fn network_problem(&self) -> Option<String> {
        self.state.read().network_problem.clone()
    }

    /// Sets what the runtime said about itself.
    pub fn set_runtime(&self, runtime_problem: Option<String>, network_problem: Option<String>) {
        let mut state = self.state.write();
        state.runtime_problem = runtime_problem;
        state.network_problem = network_problem;
        drop(state);
        self.asked.send_replace(true);
    }

    /// Waits until the runtime has been asked once, so that a restart of the kubelet is not taken for a sick node.
    pub async fn runtime_asked(&self) {
        // The sender lives in `self`, so the channel cannot close while we wait.
        let closed = self.asked.subscribe().wait_for(|asked| *asked).await.is_err();
        debug_assert!(!closed);
    }

    /// The Node object as last seen in the API.
    pub fn node(&self) -> Option<Arc<Node>> {
        self.state.read().node.clone()
    }

    /// Remembers the Node object.
    pub fn set_node(&self, node: Arc<Node>) {
        self.state.write().node = Some(node);
    }

    /// Facts for the downward API of a pod with these addresses.
    pub fn facts(&self, host_network: bool, pod_ips: &[String]) -> fields::Runtime {
        let state = self.state.read();
        let pod_ips = if host_network { state.ips.clone() } else { pod_ips.to_vec() };
        fields::Runtime { pod_ips, host_ips: state.ips.clone(), allocatable: state.allocatable.clone() }
    }
}
