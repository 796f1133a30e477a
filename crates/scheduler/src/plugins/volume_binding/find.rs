//! Whether the volumes of a pod are, or can be had, on a node.

use std::collections::HashSet;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::k8s::api::storage::v1::{CSIStorageCapacity, StorageClass};
use api_types::quantity::Quantity;
use api_types::selector::Selector;
use client::Key;
use client::kube::ResourceExt;

use super::super::volumes;
use super::{Assumed, Claims, matching};
use crate::cache::{NodeInfo, NodeTerms};
use crate::framework::{Code, Objects, Reason, Rejection};

const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const NO_VOLUMES: &str = "node(s) didn't find available persistent volumes to bind";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

/// What to do before the pod can be bound to a node.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Volumes to bind to claims.
    pub bind: Vec<(Arc<PersistentVolume>, Arc<PersistentVolumeClaim>)>,
    /// Claims for which volumes are to be made.
    pub provision: Vec<Arc<PersistentVolumeClaim>>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }
}

/// Finds volumes for all claims on a node.
///
/// # Errors
/// Everything that is missing.
pub fn find(
    objects: &Objects,
    assumed: &Assumed,
    claims: &Claims,
    node: &NodeInfo,
) -> Result<Plan, Rejection> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut plan = Plan::default();
    let mut missing = false;
    for claim in &claims.bound {
        match objects.volumes.store().find("", volumes::volume_of(claim)) {
            None => missing = true,
            Some(volume) if !reaches(&volume, node) => {
                if reasons.is_empty() {
                    reasons.push(NODE_CONFLICT.into());
                }
            }
            Some(_) => {}
        }
    }
    let mut unmatched = Vec::new();
    let mut conflict = false;
    for claim in by_size(&claims.waiting) {
        match selected_node(assumed, &claim) {
            // A volume is being made for it already.
            Some(selected) if *selected == *node.name => plan.provision.push(claim),
            Some(_) => conflict = true,
            None => unmatched.push(claim),
        }
    }
    let mut taken = HashSet::new();
    let mut to_provision = std::mem::take(&mut plan.provision);
    for claim in unmatched {
        match matching::smallest(objects, assumed, &claim, node, &taken) {
            Some(volume) => {
                taken.insert(volume.name_any());
                plan.bind.push((volume, claim));
            }
            None => to_provision.push(claim),
        }
    }
    let mut space = true;
    for claim in &to_provision {
        match provisionable(objects, claim, node) {
            Provisionable::Yes => {}
            Provisionable::NoSpace => space = false,
            Provisionable::No => {
                conflict = true;
                break;
            }
        }
    }
    plan.provision = to_provision;
    if conflict {
        reasons.push(NO_VOLUMES.into());
    }
    if !space {
        reasons.push(NO_SPACE.into());
    }
    if missing {
        reasons.push(NO_VOLUME.into());
    }
    if reasons.is_empty() {
        Ok(plan)
    } else {
        Err(Rejection { code: Code::Unresolvable, reasons, plugin: "" })
    }
}

/// Smaller claims first, so that they do not take the volumes that only larger ones need.
fn by_size(claims: &[Arc<PersistentVolumeClaim>]) -> Vec<Arc<PersistentVolumeClaim>> {
    let mut sorted = claims.to_vec();
    sorted.sort_by_key(|claim| volumes::request(claim));
    sorted
}

fn selected_node(assumed: &Assumed, claim: &PersistentVolumeClaim) -> Option<Arc<str>> {
    if let Some((node, _)) = assumed.nodes.get(&Key::of(claim)) {
        return Some(Arc::clone(node));
    }
    claim.annotations().get(volumes::SELECTED_NODE).map(|node| node.as_str().into())
}

/// Whether a volume can be used on a node.
pub fn reaches(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|required| NodeTerms::new(required).matches(&node.name, node.labels()))
}

enum Provisionable {
    Yes,
    No,
    NoSpace,
}

/// Whether a volume can be made for a claim where the node can use it.
fn provisionable(objects: &Objects, claim: &PersistentVolumeClaim, node: &NodeInfo) -> Provisionable {
    let Some(class) = volumes::class(objects, claim) else { return Provisionable::No };
    if class.provisioner.is_empty() || class.provisioner == volumes::NO_PROVISIONER || !allowed(&class, node)
    {
        return Provisionable::No;
    }
    let driver = objects.csi_drivers.store().find("", &class.provisioner);
    let tells_capacity = driver.is_some_and(|driver| driver.spec.storage_capacity == Some(true));
    if tells_capacity && !has_space(objects, &class, claim, node) {
        return Provisionable::NoSpace;
    }
    Provisionable::Yes
}

/// Whether the class allows volumes for the node's topology.
fn allowed(class: &StorageClass, node: &NodeInfo) -> bool {
    let Some(terms) = class.allowed_topologies.as_deref().filter(|terms| !terms.is_empty()) else {
        return true;
    };
    terms.iter().any(|term| {
        let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
        !expressions.is_empty()
            && expressions.iter().all(|expression| {
                node.labels().get(&expression.key).is_some_and(|value| expression.values.contains(value))
            })
    })
}

fn has_space(
    objects: &Objects,
    class: &StorageClass,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
) -> bool {
    let size = volumes::request(claim);
    let class = class.name_any();
    let enough = |capacity: &CSIStorageCapacity| {
        let limit = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref());
        let limit = limit.and_then(|limit| Quantity::parse(&limit.0).ok());
        capacity.storage_class_name == class
            && limit.is_some_and(|limit| limit >= size)
            && Selector::from_label_selector(capacity.node_topology.as_ref())
                .is_ok_and(|selector| selector.matches(node.labels()))
    };
    let mut found = false;
    objects.capacities.store().for_each(|_, capacity| found = found || enough(capacity));
    found
}
