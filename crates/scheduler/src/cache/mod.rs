//! What the scheduler knows of nodes and of the pods on them, with every index kept up to date by each change.
//!
//! One task owns the cache. It applies changes between decisions, so a decision reads the cache itself: `&Cache` is the
//! snapshot, and it costs nothing. Pods whose binding is under way are in it like bound ones ("assumed").

mod images;
mod matches;
mod node;
mod node_selector;
mod pod;
mod resources;
mod term;
mod term_index;
mod topology;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api_types::k8s::api::core::v1::Node;
use parking_lot::Mutex;

pub use images::{Image, Images};
pub use matches::{Counts, MatchKey};
pub use node::{NodeInfo, Slot};
pub use node_selector::{NodeTerm, NodeTerms, Required};
pub use pod::{HostPort, PodInfo};
pub use resources::{Requests, Resources, is_extended, pods_of};
pub use term::{Labels, Term};
pub use term_index::{Groups, HasTerm, PerNode, TermIndex};
pub use topology::{Domains, NO_DOMAIN};

/// A pod with its place.
#[derive(Clone, Debug)]
struct Placed {
    pod: Arc<PodInfo>,
    slot: Slot,
    /// Chosen here, not yet seen as bound.
    assumed: bool,
}

/// Nodes, pods and the indexes over them.
#[derive(Debug, Default)]
pub struct Cache {
    nodes: Vec<NodeInfo>,
    by_name: HashMap<Arc<str>, Slot>,
    free: Vec<Slot>,
    /// Slots of existing nodes, failure domains taking turns; [`Cache::settle`] brings it up to date.
    order: Vec<Slot>,
    order_stale: bool,
    pods: HashMap<Arc<str>, Placed>,
    /// Pods that use a claim, by namespace and name of the claim.
    claims: HashMap<(Arc<str>, Arc<str>), usize>,
    images: Images,
    terms: TermIndex,
    topology: Mutex<topology::Topology>,
    matches: Mutex<matches::Matches>,
}

impl Cache {
    /// Adds or replaces a node.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let slot = self.slot(name);
        let images = self.images.add(&node);
        let info = &mut self.nodes[slot];
        self.images.remove(&info.images);
        let (known, zone) = (info.node.is_some(), (info.zone().0.to_owned(), info.zone().1.to_owned()));
        info.images = images;
        info.set_node(Some(node));
        if !known || info.zone() != (zone.0.as_str(), zone.1.as_str()) {
            self.order_stale = true;
        }
        self.topology.get_mut().update(slot, &self.nodes);
    }

    /// Removes a node. Pods that are still on it stay known until they are gone.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.by_name.get(name).copied() else { return };
        let info = &mut self.nodes[slot];
        self.images.remove(&std::mem::take(&mut info.images));
        info.set_node(None);
        self.order_stale = true;
        self.topology.get_mut().update(slot, &self.nodes);
        self.release(slot);
    }

    /// Adds a pod that is bound, or takes over its newest state; confirms it when it was assumed.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>) {
        let Some(node) = pod.node_name().map(str::to_owned) else { return };
        self.place(pod, &node, false);
    }

    /// Adds a pod for which `node` was chosen, so that the next decision counts it.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node, true);
    }

    /// Takes an assumed pod out again after its binding failed. A pod seen as bound meanwhile stays.
    pub fn forget(&mut self, uid: &str) {
        if self.is_assumed(uid) {
            self.remove_pod(uid);
        }
    }

    /// Takes a pod out; gives it back when it was there.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let Placed { pod, slot, .. } = self.pods.remove(uid)?;
        self.nodes[slot].remove_pod(uid);
        self.index(&pod, slot, -1);
        self.release(slot);
        Some(pod)
    }

    /// Whether a pod is assumed and not yet confirmed.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// A bound or assumed pod.
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.pods.get(uid).map(|placed| &placed.pod)
    }

    /// Counts of pods: all, and those of them that are assumed.
    pub fn pod_counts(&self) -> (usize, usize) {
        (self.pods.len(), self.pods.values().filter(|placed| placed.assumed).count())
    }

    /// Brings the order of nodes up to date; call it before deciding.
    pub fn settle(&mut self) {
        if !std::mem::take(&mut self.order_stale) {
            return;
        }
        let mut zones: BTreeMap<(&str, &str), Vec<Slot>> = BTreeMap::new();
        for info in self.nodes.iter().filter(|info| info.node.is_some()) {
            zones.entry(info.zone()).or_default().push(info.slot);
        }
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        let turn = |at: usize| zones.values().filter_map(move |slots| slots.get(at).copied());
        self.order = (0..longest).flat_map(turn).collect();
    }

    /// The existing nodes as of the last [`Cache::settle`].
    pub fn order(&self) -> &[Slot] {
        &self.order
    }

    /// The node at a slot that [`Cache::order`] or an index gave.
    pub fn node(&self, slot: Slot) -> &NodeInfo {
        &self.nodes[slot]
    }

    /// An existing node by name.
    pub fn find_node(&self, name: &str) -> Option<&NodeInfo> {
        self.by_name.get(name).map(|slot| &self.nodes[*slot]).filter(|info| info.node.is_some())
    }

    /// Upper bound of slots, for arrays by slot.
    pub fn slots(&self) -> usize {
        self.nodes.len()
    }

    /// The images on the nodes.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The affinity terms of the pods here.
    pub fn terms(&self) -> &TermIndex {
        &self.terms
    }

    /// How many pods use a claim.
    pub fn claim_users(&self, namespace: &Arc<str>, claim: &Arc<str>) -> usize {
        self.claims.get(&(Arc::clone(namespace), Arc::clone(claim))).copied().unwrap_or(0)
    }

    /// The domains of a topology key.
    pub fn domains(&self, key: &Arc<str>) -> Arc<Domains> {
        self.topology.lock().domains(key, &self.nodes)
    }

    /// How many pods on each node match.
    pub fn counts(&self, key: &MatchKey) -> Counts {
        self.matches.lock().counts(key, &self.nodes)
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        self.remove_pod(&pod.uid);
        let slot = self.slot(node);
        self.nodes[slot].add_pod(Arc::clone(&pod));
        self.index(&pod, slot, 1);
        self.pods.insert(Arc::clone(&pod.uid), Placed { pod, slot, assumed });
    }

    fn index(&mut self, pod: &PodInfo, slot: Slot, by: i32) {
        self.terms.change(pod, slot, by);
        self.matches.get_mut().change(pod, slot, by);
        for (claim, _) in &pod.claims {
            let key = (Arc::clone(&pod.namespace), Arc::clone(claim));
            let users = self.claims.entry(key.clone()).or_default();
            *users = users.saturating_add_signed(by as isize);
            if *users == 0 {
                self.claims.remove(&key);
            }
        }
    }

    fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let name: Arc<str> = name.into();
        let slot = self.free.pop().unwrap_or(self.nodes.len());
        let info = NodeInfo::named(slot, Arc::clone(&name));
        if slot == self.nodes.len() {
            self.nodes.push(info);
        } else {
            self.nodes[slot] = info;
        }
        self.by_name.insert(name, slot);
        slot
    }

    /// Gives a slot back when neither node nor pods need it.
    fn release(&mut self, slot: Slot) {
        let info = &self.nodes[slot];
        if info.node.is_none() && info.pods.is_empty() && self.by_name.remove(&info.name).is_some() {
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests;
