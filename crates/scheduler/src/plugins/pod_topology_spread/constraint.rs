//! One constraint, parsed, and the selector of pods that have none.

use std::sync::Arc;

use api_types::k8s::api::core::v1::TopologySpreadConstraint;
use api_types::selector::{Operator, Requirement, Selector};
use client::owner;

use super::super::tolerations::{repels, untolerated};
use crate::cache::{MatchKey, NodeInfo, PodInfo};
use crate::framework::Objects;

/// A constraint.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// Node label whose values are the domains.
    pub topology_key: Arc<str>,
    /// Largest difference to the emptiest domain.
    pub max_skew: i64,
    /// With fewer domains than this, the emptiest counts as having no pods.
    pub min_domains: usize,
    /// Which pods are counted.
    pub key: MatchKey,
    honor_affinity: bool,
    honor_taints: bool,
}

impl Constraint {
    /// A pod's own constraint. `matchLabelKeys` narrow its selector to pods that agree with `pod` in those labels.
    pub fn new(constraint: &TopologySpreadConstraint, pod: &PodInfo) -> Self {
        let selector = Selector::from_label_selector(constraint.label_selector.as_ref());
        let selector = selector.unwrap_or_else(|_| Selector::nothing());
        let Some(known) = selector.requirements() else {
            return Self::with_selector(constraint, selector, pod);
        };
        let mut requirements = known.to_vec();
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = pod.labels().get(key) {
                requirements.push(Requirement {
                    key: key.clone(),
                    operator: Operator::In,
                    values: vec![value.clone()],
                });
            }
        }
        Self::with_selector(constraint, Selector::new(requirements), pod)
    }

    /// A constraint with a selector from elsewhere.
    pub fn with_selector(constraint: &TopologySpreadConstraint, selector: Selector, pod: &PodInfo) -> Self {
        let clause = (vec![Arc::clone(&pod.namespace)], selector);
        Self {
            topology_key: constraint.topology_key.as_str().into(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1),
            key: MatchKey { clauses: vec![clause], live_only: true },
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    /// Whether the pods of a node count.
    pub fn includes(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        if self.honor_affinity && !pod.node.is_empty() && !pod.node.matches(&node.name, node.labels()) {
            return false;
        }
        !self.honor_taints || untolerated(node.taints(), pod.spec().tolerations.as_ref(), repels).is_none()
    }

    /// Whether the selector speaks of `pod`, be it on its way out or not.
    pub fn selects(&self, pod: &PodInfo) -> bool {
        self.key.clauses.iter().all(|(namespaces, selector)| {
            namespaces.contains(&pod.namespace) && selector.matches(pod.labels())
        })
    }
}

/// What the services and the controller of a pod select it by; `None` when nothing does.
pub fn default_selector(objects: &Objects, pod: &PodInfo) -> Option<Selector> {
    let mut requirements = Vec::new();
    objects.services.store().list_namespace(&pod.namespace).iter().for_each(|service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if let Some(selector) = selector
            && !selector.is_empty()
            && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        {
            let labels = selector.iter().map(|(key, value)| (key.clone(), value.clone()));
            requirements.extend(Selector::from_map(labels).requirements().unwrap_or_default().to_vec());
        }
    });
    if let Some(controller) = owner::controller_of(&pod.pod.metadata) {
        let selector = match controller.kind.as_str() {
            "ReplicationController" => {
                let found = objects.replication_controllers.store().find(&pod.namespace, &controller.name);
                let labels = found.and_then(|found| found.spec.as_ref()?.selector.clone());
                labels.map(Selector::from_map)
            }
            "ReplicaSet" => {
                let found = objects.replica_sets.store().find(&pod.namespace, &controller.name);
                let selector = found.and_then(|found| found.spec.as_ref().map(|spec| spec.selector.clone()));
                selector.and_then(|selector| Selector::from_label_selector(Some(&selector)).ok())
            }
            "StatefulSet" => {
                let found = objects.stateful_sets.store().find(&pod.namespace, &controller.name);
                let selector = found.and_then(|found| found.spec.as_ref().map(|spec| spec.selector.clone()));
                selector.and_then(|selector| Selector::from_label_selector(Some(&selector)).ok())
            }
            _ => None,
        };
        requirements.extend(selector.iter().flat_map(|s| s.requirements().unwrap_or_default().to_vec()));
    }
    (!requirements.is_empty()).then(|| Selector::new(requirements))
}
