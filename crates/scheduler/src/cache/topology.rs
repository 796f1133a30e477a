//! Which domain of a topology key each node is in, as dense numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{NodeInfo, Slot};

/// The domain of a node without the label.
pub const NO_DOMAIN: u32 = u32::MAX;

/// The values of one node label over all nodes.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    ids: Vec<u32>,
    by_value: HashMap<Arc<str>, u32>,
}

impl Domains {
    /// The domain of the node at `slot`, or [`NO_DOMAIN`]. Numbers are dense, from 0 to [`Domains::len`].
    pub fn of(&self, slot: Slot) -> u32 {
        self.ids.get(slot).copied().unwrap_or(NO_DOMAIN)
    }

    /// How many domains there have been; some may be empty by now.
    pub fn len(&self) -> usize {
        self.by_value.len()
    }

    /// Whether no node has the label.
    pub fn is_empty(&self) -> bool {
        self.by_value.is_empty()
    }
}

/// The domains of every topology key that was asked for, kept up to date node by node.
#[derive(Debug, Default)]
pub(super) struct Topology {
    keys: HashMap<Arc<str>, Arc<Domains>>,
}

impl Topology {
    /// The domains of `key`; looks at all nodes the first time.
    pub(super) fn domains(&mut self, key: &Arc<str>, nodes: &[NodeInfo]) -> Arc<Domains> {
        if let Some(known) = self.keys.get(key) {
            return Arc::clone(known);
        }
        let mut domains = Domains::default();
        for node in nodes {
            place(&mut domains, key, node);
        }
        let domains = Arc::new(domains);
        self.keys.insert(Arc::clone(key), Arc::clone(&domains));
        domains
    }

    /// Notes that a node's labels may have changed. `nodes` serves to rebuild a key that has collected too many
    /// domains without nodes.
    pub(super) fn update(&mut self, slot: Slot, nodes: &[NodeInfo]) {
        for (key, domains) in &mut self.keys {
            let domains = Arc::make_mut(domains);
            place(domains, key, &nodes[slot]);
            if domains.len() > 2 * nodes.len() + 16 {
                *domains = Domains::default();
                for node in nodes {
                    place(domains, key, node);
                }
            }
        }
    }
}

fn place(domains: &mut Domains, key: &str, node: &NodeInfo) {
    if domains.ids.len() <= node.slot {
        domains.ids.resize(node.slot + 1, NO_DOMAIN);
    }
    domains.ids[node.slot] = match node.labels().get(key) {
        Some(value) => {
            let next = u32::try_from(domains.by_value.len()).unwrap_or(NO_DOMAIN);
            match domains.by_value.get(value.as_str()) {
                Some(known) => *known,
                None => *domains.by_value.entry(value.as_str().into()).or_insert(next),
            }
        }
        None => NO_DOMAIN,
    };
}
