//! How many pods on each node match a selector, kept up to date for the selectors in use.
//!
//! Pods of one workload bring the same selectors again and again. The first one costs a look at all pods; afterwards
//! each pod that comes or goes is matched against the selectors in use, and a decision reads an array.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::selector::Selector;

use super::node::{NodeInfo, Slot};
use super::pod::PodInfo;

/// Selectors that are kept; the one unused for longest goes first.
const KEPT: usize = 128;

/// Which pods are counted: those that meet every clause.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatchKey {
    /// Namespaces (sorted) and selector, all of which must hold.
    pub clauses: Vec<(Vec<Arc<str>>, Selector)>,
    /// Leave out pods that are being deleted.
    pub live_only: bool,
}

impl MatchKey {
    /// Whether `pod` is counted.
    pub fn matches(&self, pod: &PodInfo) -> bool {
        !(self.live_only && pod.terminating())
            && self.clauses.iter().all(|(namespaces, selector)| {
                namespaces.contains(&pod.namespace) && selector.matches(pod.labels())
            })
    }
}

/// Counts by node slot.
pub type Counts = Arc<Vec<u32>>;

#[derive(Debug, Default)]
pub(super) struct Matches {
    entries: HashMap<MatchKey, Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    counts: Counts,
    used: u64,
}

impl Matches {
    pub(super) fn counts(&mut self, key: &MatchKey, nodes: &[NodeInfo]) -> Counts {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.used = self.clock;
            // A node that came later has no matching pods unless `change` has grown the array.
            if entry.counts.len() < nodes.len() {
                Arc::make_mut(&mut entry.counts).resize(nodes.len(), 0);
            }
            return Arc::clone(&entry.counts);
        }
        if self.entries.len() >= KEPT {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        let count = |node: &NodeInfo| node.pods.iter().filter(|pod| key.matches(pod)).count();
        let counts: Counts =
            Arc::new(nodes.iter().map(|node| u32::try_from(count(node)).unwrap_or(u32::MAX)).collect());
        self.entries.insert(key.clone(), Entry { counts: Arc::clone(&counts), used: self.clock });
        counts
    }

    /// Notes that a pod came to (`1`) or left (`-1`) a node.
    pub(super) fn change(&mut self, pod: &PodInfo, slot: Slot, by: i32) {
        for (key, entry) in &mut self.entries {
            if key.matches(pod) {
                let counts = Arc::make_mut(&mut entry.counts);
                if counts.len() <= slot {
                    counts.resize(slot + 1, 0);
                }
                counts[slot] = counts[slot].saturating_add_signed(by);
            }
        }
    }
}
