//! DynamicResources: devices claimed through the resource.k8s.io API (KEP-4381), with prioritized alternatives
//! (KEP-4816), device taints (KEP-5055) and extended resources served by device classes (KEP-5004).
//!
//! Not offered to pods: devices that share counters, that may be allocated several times, or that need binding
//! conditions; they are left out of the inventory.

mod allocate;
mod claims;
mod inventory;
mod selector;
mod write;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::k8s::api::core::v1::ContainerExtendedResourceRequest;
use api_types::k8s::api::resource::v1::{AllocationResult, ResourceClaim};
use client::{Client, Key};
use parking_lot::Mutex;

use super::Build;
use crate::cache::{NodeInfo, NodeTerms, PodInfo, Slot};
use crate::config::{ArgsError, DynamicResourcesArgs};
use crate::framework::{
    CycleState, Diagnosis, Event, Filter, NoRemedy, Objects, Plugin, PostFilter, PreBind, PreEnqueue,
    PreFilter, PreFiltered, Profile, Rejection, Remedy, Reserve, Snapshot, Verdict,
};
use claims::Wanted;
use inventory::{DeviceId, Inventory};

/// The plugin.
pub struct DynamicResources {
    objects: Objects,
    /// Whether device classes may serve extended resources.
    serves_extended: bool,
    selectors: selector::Selectors,
    /// Allocations that the server does not show yet, by uid of the claim (of the pod for its extended resources).
    pending: Mutex<HashMap<String, AllocationResult>>,
}

/// What PreFilter computes.
#[derive(Clone, Default)]
struct State {
    /// Claims with devices already.
    allocated: Vec<(Arc<ResourceClaim>, AllocationResult)>,
    /// Claims that need devices.
    wanted: Arc<Vec<Wanted>>,
    /// Extended resources that device classes serve; the last of `wanted` is for them.
    extended: Arc<Vec<ContainerExtendedResourceRequest>>,
    inventory: Arc<Inventory>,
    /// Devices in use.
    used: Arc<HashSet<DeviceId>>,
    /// Allocations found by Filter, in the order of `wanted`, by node.
    found: Arc<Mutex<HashMap<Slot, Vec<AllocationResult>>>>,
    /// What Reserve kept for the node that was chosen.
    chosen: Vec<AllocationResult>,
}

impl DynamicResources {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        build.args.of::<DynamicResourcesArgs>("DynamicResources")?;
        let (selectors, pending) = (selector::Selectors::default(), Mutex::default());
        let serves_extended = build.features.enabled("DRAExtendedResource");
        Ok(Self { objects: build.objects.clone(), serves_extended, selectors, pending })
    }
}

/// Whether devices of a class stand in for an extended resource on a node, which then need not have it itself.
pub fn provides(state: &CycleState, resource: &str, node: &NodeInfo) -> bool {
    let served = |state: &State| state.extended.iter().any(|request| request.resource_name == resource);
    node.allocatable.amount(resource) == 0 && state.get::<State>().is_some_and(served)
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }
    fn pre_enqueue(self: Arc<Self>) -> Option<Arc<dyn PreEnqueue>> {
        Some(self)
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn post_filter(self: Arc<Self>) -> Option<Arc<dyn PostFilter>> {
        Some(self)
    }
    fn reserve(self: Arc<Self>) -> Option<Arc<dyn Reserve>> {
        Some(self)
    }
    fn pre_bind(self: Arc<Self>) -> Option<Arc<dyn PreBind>> {
        Some(self)
    }

    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        let needs_devices = || {
            claims::has_claims(pod)
                || pod.requests.exact.scalars.iter().any(|(name, _)| crate::cache::is_extended(name))
        };
        match event {
            // Another claim that was given up may free devices.
            Event::ResourceClaim(_) | Event::Slice | Event::DeviceClass => needs_devices(),
            Event::Updated { old, new } => {
                let names =
                    |pod: &PodInfo| pod.status().and_then(|status| status.resource_claim_statuses.clone());
                names(old) != names(new)
            }
            Event::NodeAdded(_) => true,
            Event::NodeChanged { old, new } => {
                let taints = old.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
                old.metadata.labels.as_ref() != Some(new.labels()) || taints != new.taints()
            }
            Event::PodRemoved(_) => needs_devices(),
            _ => false,
        }
    }
}

impl PreEnqueue for DynamicResources {
    fn pre_enqueue(&self, objects: &Objects, pod: &PodInfo) -> Verdict {
        claims::of_pod(objects, pod).map(|_| ())
    }
}

impl PreFilter for DynamicResources {
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        cycle: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        // PostFilter asks whether this ran.
        cycle.put(State::default());
        let objects = snapshot.objects;
        let claims = claims::of_pod(objects, pod)?;
        let extended = if self.serves_extended { claims::extended(objects, pod) } else { None };
        if claims.is_empty() && extended.is_none() {
            return Ok(PreFiltered::Skip);
        }
        let mut state = State::default();
        let mut wanted = Vec::new();
        let pending = self.pending.lock();
        for claim in claims {
            let known = claim.status.as_ref().and_then(|status| status.allocation.clone());
            let known =
                known.or_else(|| pending.get(claim.metadata.uid.as_deref().unwrap_or_default()).cloned());
            match known {
                Some(allocation) => {
                    if !claims::has_room(&claim, pod) {
                        return Err(Rejection::unschedulable("resourceclaim in use"));
                    }
                    state.allocated.push((claim, allocation));
                }
                None => wanted.push(Wanted::new(objects, claim)?),
            }
        }
        if let Some((want, mappings)) = extended {
            wanted.push(want);
            state.extended = Arc::new(mappings);
        }
        if !wanted.is_empty() {
            state.inventory = Arc::new(Inventory::new(objects));
            state.used = Arc::new(inventory::used(objects, pending.values()));
        }
        state.wanted = Arc::new(wanted);
        cycle.put(state);
        Ok(PreFiltered::Look)
    }
}

impl Filter for DynamicResources {
    fn filter(&self, _: &Snapshot<'_>, cycle: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(state) = cycle.get::<State>() else { return Ok(()) };
        for (_, allocation) in &state.allocated {
            let selector = allocation.node_selector.as_ref();
            if !selector.is_none_or(|selector| NodeTerms::new(selector).matches(&node.name, node.labels())) {
                return Err(Rejection::unresolvable("resourceclaim not available on the node"));
            }
        }
        // What the node provides by itself needs no devices from here.
        let wanted: Vec<Wanted> = state.wanted.iter().filter_map(|want| want.on(pod, node)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let devices = state.inventory.on(node);
        match allocate::allocate(&self.selectors, &devices, &state.used, &wanted, node) {
            None => Err(Rejection::unresolvable("cannot allocate all claims")),
            Some(allocations) => {
                state.found.lock().insert(node.slot, allocations);
                Ok(())
            }
        }
    }
}

impl PostFilter for DynamicResources {
    fn post_filter(
        &self,
        _: &Profile,
        snapshot: &Snapshot<'_>,
        cycle: &CycleState,
        pod: &Arc<PodInfo>,
        _: &Diagnosis,
    ) -> Result<Remedy, NoRemedy> {
        let Some(state) = cycle.get::<State>() else {
            // Another PreFilter plugin has ended the decision before this one was asked.
            return Err(Rejection::error("not found").into());
        };
        if state.allocated.is_empty() && state.wanted.is_empty() {
            return Err(Rejection::unschedulable("no new claims to deallocate").into());
        }
        // Devices that nobody uses yet were taken for a node that turned out wrong; they can be given back.
        let order = snapshot.cache.order();
        let misplaced = state.allocated.iter().find(|(claim, allocation)| {
            let reserved = claim.status.iter().flat_map(|status| status.reserved_for.iter().flatten());
            let somewhere = |selector| {
                let terms = NodeTerms::new(selector);
                order.iter().any(|slot| {
                    let node = snapshot.cache.node(*slot);
                    terms.matches(&node.name, node.labels())
                })
            };
            reserved.into_iter().all(|user| user.uid == *pod.uid)
                && allocation.node_selector.as_ref().is_some_and(|selector| !somewhere(selector))
        });
        match misplaced {
            Some((claim, _)) => Ok(Remedy { deallocate: vec![Key::of(&**claim)], ..Remedy::default() }),
            None => Err(Rejection::unschedulable("still not schedulable").into()),
        }
    }
}

impl Reserve for DynamicResources {
    fn reserve(&self, _: &Snapshot<'_>, cycle: &mut CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(state) = cycle.get_mut::<State>() else { return Ok(()) };
        let Some(allocations) = state.found.lock().remove(&node.slot) else { return Ok(()) };
        let mut pending = self.pending.lock();
        for (want, allocation) in state.wanted.iter().zip(&allocations) {
            pending.insert(want.uid(pod).to_owned(), allocation.clone());
        }
        drop(pending);
        state.chosen = allocations;
        Ok(())
    }

    fn unreserve(&self, cycle: &CycleState, pod: &PodInfo) {
        let Some(state) = cycle.get::<State>() else { return };
        let mut pending = self.pending.lock();
        for (want, _) in state.wanted.iter().zip(&state.chosen) {
            pending.remove(want.uid(pod));
        }
    }
}

#[async_trait::async_trait]
impl PreBind for DynamicResources {
    fn needed(&self, cycle: &CycleState) -> bool {
        cycle.get::<State>().is_some_and(|state| !state.allocated.is_empty() || !state.chosen.is_empty())
    }

    async fn pre_bind(
        &self,
        client: &Client,
        cycle: &CycleState,
        pod: &PodInfo,
        _: &str,
    ) -> Result<(), anyhow::Error> {
        let Some(state) = cycle.get::<State>() else { return Ok(()) };
        let writer = write::ClaimWriter::new(client, &self.objects, pod);
        for (claim, _) in &state.allocated {
            writer.reserve(claim, None).await?;
        }
        for (want, allocation) in state.wanted.iter().zip(&state.chosen) {
            match &want.claim {
                Some(claim) => writer.reserve(claim, Some(allocation)).await?,
                None => writer.create(want, allocation, &state.extended).await?,
            }
        }
        // The mirror has all of them by now.
        self.unreserve(cycle, pod);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
