//! Which devices there are, where, and which are in use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::k8s::api::core::v1::NodeSelector;
use api_types::k8s::api::resource::v1::{AllocationResult, Device, DeviceAttribute, ResourceSlice};

use crate::cache::{NodeInfo, NodeTerms};
use crate::framework::Objects;

/// Driver, pool and name of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId {
    /// Driver.
    pub driver: String,
    /// Pool.
    pub pool: String,
    /// Name within the pool.
    pub device: String,
}

/// The slices of complete pools, by the node they are for.
#[derive(Debug, Default)]
pub struct Inventory {
    by_node: HashMap<String, Vec<Arc<ResourceSlice>>>,
    shared: Vec<Arc<ResourceSlice>>,
}

/// A device that a node can use.
#[derive(Clone, Debug)]
pub struct Available {
    /// Which one.
    pub id: DeviceId,
    slice: Arc<ResourceSlice>,
    at: usize,
    /// Whether only this node can use it.
    pub local: bool,
}

impl Inventory {
    /// The newest generation of every pool that is complete.
    pub fn new(objects: &Objects) -> Self {
        let mut pools: HashMap<(String, String), Vec<Arc<ResourceSlice>>> = HashMap::new();
        let mut order = Vec::new();
        objects.slices.store().for_each(|_, slice| {
            let key = (slice.spec.driver.clone(), slice.spec.pool.name.clone());
            let slices = pools.entry(key.clone()).or_default();
            let newest = slices.first().map_or(i64::MIN, |known| known.spec.pool.generation);
            if slices.is_empty() {
                order.push(key);
            }
            if slice.spec.pool.generation > newest {
                slices.clear();
            }
            if slice.spec.pool.generation >= newest {
                slices.push(Arc::clone(slice));
            }
        });
        let mut inventory = Self::default();
        for slices in order.iter().filter_map(|key| pools.remove(key)) {
            // The missing slices could have the device that "all" means, or forbid one.
            if slices.first().is_some_and(|slice| slice.spec.pool.resource_slice_count != slices.len() as i64)
            {
                continue;
            }
            for slice in slices {
                match slice.spec.node_name.as_deref() {
                    Some(node) if !node.is_empty() => {
                        inventory.by_node.entry(node.to_owned()).or_default().push(slice);
                    }
                    _ => inventory.shared.push(slice),
                }
            }
        }
        inventory
    }

    /// The devices that a node can use.
    pub fn on(&self, node: &NodeInfo) -> Vec<Available> {
        let mut devices = Vec::new();
        for slice in self.by_node.get(&*node.name).into_iter().flatten() {
            collect(slice, true, |_| true, &mut devices);
        }
        for slice in &self.shared {
            let spec = &slice.spec;
            let reaches = |all: Option<bool>, selector: Option<&NodeSelector>| {
                all == Some(true)
                    || selector.is_some_and(|s| NodeTerms::new(s).matches(&node.name, node.labels()))
            };
            if spec.per_device_node_selection == Some(true) {
                let usable = |device: &Device| {
                    device.node_name.as_deref() == Some(&*node.name)
                        || reaches(device.all_nodes, device.node_selector.as_ref())
                };
                collect(slice, false, usable, &mut devices);
            } else if reaches(spec.all_nodes, spec.node_selector.as_ref()) {
                collect(slice, false, |_| true, &mut devices);
            }
        }
        devices
    }
}

fn collect(
    slice: &Arc<ResourceSlice>,
    local: bool,
    usable: impl Fn(&Device) -> bool,
    into: &mut Vec<Available>,
) {
    for (at, device) in slice.spec.devices.iter().flatten().enumerate() {
        let served = device.consumes_counters.as_ref().is_none_or(Vec::is_empty)
            && device.binding_conditions.as_ref().is_none_or(Vec::is_empty)
            && device.allow_multiple_allocations != Some(true);
        if served && usable(device) {
            let id = DeviceId {
                driver: slice.spec.driver.clone(),
                pool: slice.spec.pool.name.clone(),
                device: device.name.clone(),
            };
            into.push(Available { id, slice: Arc::clone(slice), at, local });
        }
    }
}

impl Available {
    /// The device.
    pub fn device(&self) -> Option<&Device> {
        self.slice.spec.devices.as_ref()?.get(self.at)
    }

    /// Where a device that is not local can be used: the selector of its slice or its own.
    pub fn node_selector(&self) -> Option<&NodeSelector> {
        let own = self.device().and_then(|device| device.node_selector.as_ref());
        own.or(self.slice.spec.node_selector.as_ref())
    }

    /// An attribute by its full name; names without a domain are in the driver's.
    pub fn attribute(&self, name: &str) -> Option<&DeviceAttribute> {
        let attributes = self.device()?.attributes.as_ref()?;
        let short = || name.strip_prefix(&self.id.driver)?.strip_prefix('/');
        attributes.get(name).or_else(|| attributes.get(short()?))
    }
}

/// The devices in use by all claims, and those that are about to be.
pub fn used<'a>(objects: &Objects, pending: impl Iterator<Item = &'a AllocationResult>) -> HashSet<DeviceId> {
    let mut used = HashSet::new();
    objects.resource_claims.store().for_each(|_, claim| {
        if let Some(allocation) = claim.status.as_ref().and_then(|status| status.allocation.as_ref()) {
            note(allocation, &mut used);
        }
    });
    pending.for_each(|allocation| note(allocation, &mut used));
    used
}

fn note(allocation: &AllocationResult, used: &mut HashSet<DeviceId>) {
    let results = allocation.devices.iter().flat_map(|devices| devices.results.iter().flatten());
    for result in results.filter(|result| result.admin_access != Some(true)) {
        used.insert(DeviceId {
            driver: result.driver.clone(),
            pool: result.pool.clone(),
            device: result.device.clone(),
        });
    }
}
