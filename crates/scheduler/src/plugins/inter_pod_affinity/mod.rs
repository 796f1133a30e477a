//! InterPodAffinity: pods beside, or not beside, other pods (KEP-895, KEP-2249).
//!
//! Nothing here walks over all pods: terms of running pods come grouped from the term index, and pods that match the
//! incoming pod's terms come counted per node from the match index.

mod filter;
mod score;

use std::sync::Arc;

use api_types::selector::Selector;

use super::Build;
use crate::cache::{Labels, MatchKey, PodInfo, Term};
use crate::config::{ArgsError, InterPodAffinityArgs};
use crate::framework::{Event, Filter, Objects, Plugin, PreFilter, PreScore, Score, Snapshot};

/// The plugin.
pub struct InterPodAffinity {
    args: InterPodAffinityArgs,
}

impl InterPodAffinity {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read or make no sense.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let args: InterPodAffinityArgs = build.args.of("InterPodAffinity")?;
        if !(0..=100).contains(&args.hard_pod_affinity_weight) {
            return Err(ArgsError::Value {
                plugin: "InterPodAffinity".to_owned(),
                problem: "hardPodAffinityWeight must be between 0 and 100".to_owned(),
            });
        }
        Ok(Self { args })
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn pre_score(self: Arc<Self>) -> Option<Arc<dyn PreScore>> {
        Some(self)
    }
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        Some(self)
    }

    fn hint(&self, snapshot: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        let labels = |other: &PodInfo| snapshot.objects.namespace_labels(&other.namespace);
        let speaks = |terms: &[Term], of: &PodInfo| {
            !terms.is_empty() && {
                let labels = labels(of);
                terms.iter().any(|term| term.matches(of, &labels))
            }
        };
        match event {
            Event::PodAdded(added) => speaks(&pod.affinity, added),
            Event::PodRemoved(removed) => {
                speaks(&pod.anti_affinity, removed) || speaks(&removed.anti_affinity, pod)
            }
            Event::PodChanged { old, new } => {
                (speaks(&pod.affinity, new) && !speaks(&pod.affinity, old))
                    || (speaks(&pod.anti_affinity, old) && !speaks(&pod.anti_affinity, new))
            }
            Event::Updated { old, new } => {
                old.labels() != new.labels() || old.spec().affinity != new.spec().affinity
            }
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => {
                pod.affinity.iter().all(|term| node.labels().contains_key(&*term.topology_key))
            }
            Event::NodeRemoved | Event::Namespace => true,
            _ => false,
        }
    }
}

/// A term of the incoming pod, with its namespace selector replaced by the namespaces that it selects.
#[derive(Clone, Debug)]
struct Resolved {
    topology_key: Arc<str>,
    clause: (Vec<Arc<str>>, Selector),
}

impl Resolved {
    fn new(term: &Term, objects: &Objects) -> Self {
        let mut namespaces = term.namespaces.clone();
        if !term.namespace_selector.is_nothing() {
            objects.namespaces.store().for_each(|key, namespace| {
                if term.namespace_selector.matches(&namespace.metadata.labels) {
                    namespaces.push(Arc::clone(&key.name));
                }
            });
            namespaces.sort_unstable();
            namespaces.dedup();
        }
        Self { topology_key: Arc::clone(&term.topology_key), clause: (namespaces, term.selector.clone()) }
    }

    fn key(&self) -> MatchKey {
        MatchKey { clauses: vec![self.clause.clone()], live_only: false }
    }
}

/// The labels of the incoming pod's namespace.
fn own_labels(snapshot: &Snapshot<'_>, pod: &PodInfo) -> Labels {
    snapshot.objects.namespace_labels(&pod.namespace)
}

#[cfg(test)]
mod tests;
