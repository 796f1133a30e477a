//! The affinity terms of the pods that run, grouped so that equal terms of many pods are looked at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::node::Slot;
use super::pod::PodInfo;
use super::term::{Labels, Term};

/// How many pods with one and the same term are on which node.
pub type PerNode = HashMap<Slot, u32>;

/// Terms, by the namespaces they can speak of.
#[derive(Debug)]
pub struct Groups<T> {
    by_namespace: HashMap<Arc<str>, HashMap<T, PerNode>>,
    /// Terms with a namespace selector.
    wide: HashMap<T, PerNode>,
}

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self { by_namespace: HashMap::new(), wide: HashMap::new() }
    }
}

/// A term, or a term with something beside it.
pub trait HasTerm: Clone + Eq + Hash {
    /// The term.
    fn term(&self) -> &Term;
}

impl HasTerm for Term {
    fn term(&self) -> &Term {
        self
    }
}

impl HasTerm for (i32, Term) {
    fn term(&self) -> &Term {
        &self.1
    }
}

impl<T: HasTerm> Groups<T> {
    /// Whether there are no terms at all.
    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty() && self.wide.is_empty()
    }

    /// Calls `visit` for every group whose term speaks of `pod`.
    pub fn for_each_match(&self, pod: &PodInfo, labels: &Labels, mut visit: impl FnMut(&T, &PerNode)) {
        let own = self.by_namespace.get(&pod.namespace).into_iter().flatten();
        for (entry, nodes) in own.chain(&self.wide) {
            if entry.term().matches(pod, labels) {
                visit(entry, nodes);
            }
        }
    }

    fn change(&mut self, entry: &T, slot: Slot, by: i32) {
        let term = entry.term();
        if !term.namespace_selector.is_nothing() {
            adjust(&mut self.wide, entry, slot, by);
            return;
        }
        for namespace in &term.namespaces {
            let groups = self.by_namespace.entry(Arc::clone(namespace)).or_default();
            adjust(groups, entry, slot, by);
            if groups.is_empty() {
                self.by_namespace.remove(namespace);
            }
        }
    }
}

fn adjust<T: HasTerm>(groups: &mut HashMap<T, PerNode>, entry: &T, slot: Slot, by: i32) {
    if !groups.contains_key(entry) {
        groups.insert(entry.clone(), PerNode::new());
    }
    let Some(nodes) = groups.get_mut(entry) else { return };
    let count = nodes.entry(slot).or_default();
    *count = count.saturating_add_signed(by);
    if *count == 0 {
        nodes.remove(&slot);
        if nodes.is_empty() {
            groups.remove(entry);
        }
    }
}

/// All terms of the pods that run.
#[derive(Debug, Default)]
pub struct TermIndex {
    /// Required anti-affinity: keeps others out.
    pub anti: Groups<Term>,
    /// Required affinity: attracts others by the hard-affinity weight.
    pub required: Groups<Term>,
    /// Preferred affinity (positive weight) and anti-affinity (negative).
    pub preferred: Groups<(i32, Term)>,
}

impl TermIndex {
    /// Notes that a pod came to (`1`) or left (`-1`) a node.
    pub(super) fn change(&mut self, pod: &PodInfo, slot: Slot, by: i32) {
        for term in &pod.anti_affinity {
            self.anti.change(term, slot, by);
        }
        for term in &pod.affinity {
            self.required.change(term, slot, by);
        }
        for entry in &pod.preferred {
            self.preferred.change(entry, slot, by);
        }
    }
}
