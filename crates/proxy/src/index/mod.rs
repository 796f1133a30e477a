//! What the proxy knows of the cluster: Services, EndpointSlices and its own Node, cut down to what packets depend on.
//!
//! ```text
//!  apply_* / delete_* ──► trimmed copies ──► dirty Services (only where something that matters has changed)
//!                                               │
//!                          model(service) ──► ServiceModel: front ends and chosen backends, per family and port
//! ```

mod choice;
mod endpoints;
mod model;
mod node;
mod service;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use api_types::k8s::api::core::v1::{Node, Service};
use api_types::k8s::api::discovery::v1::EndpointSlice;
use nfnetlink::Family;

pub use choice::{Choice, choose};
pub use endpoints::{Endpoint, SERVICE_NAME, Slice};
pub use model::{External, PortModel, Protocol, ServiceModel, Traffic};
pub use node::NodeInfo;
pub use service::{Port, ServiceInfo};

/// `namespace/name` of a Service.
pub type ServiceName = Arc<str>;

/// The in-memory picture. All calls are cheap and none does I/O.
#[derive(Debug)]
pub struct Index {
    node_name: String,
    node: NodeInfo,
    services: HashMap<ServiceName, ServiceInfo>,
    /// Slices of each Service, by slice name.
    slices: HashMap<ServiceName, BTreeMap<Box<str>, Slice>>,
    /// Which Service a slice belonged to when last seen, by `namespace/name` of the slice.
    owners: HashMap<Box<str>, ServiceName>,
    dirty: BTreeSet<ServiceName>,
    /// When the endpoints that are waiting to be programmed changed, as the endpoint controller noted.
    triggers: Vec<SystemTime>,
}

impl Index {
    /// An empty picture, seen from `node_name`.
    pub fn new(node_name: impl Into<String>) -> Self {
        Self {
            node_name: node_name.into(),
            node: NodeInfo::default(),
            services: HashMap::new(),
            slices: HashMap::new(),
            owners: HashMap::new(),
            dirty: BTreeSet::new(),
            triggers: Vec::new(),
        }
    }

    /// Takes in a Service; says whether anything that matters changed.
    pub fn apply_service(&mut self, service: &Service) -> bool {
        let name = key(service.metadata.namespace.as_deref(), service.metadata.name.as_deref());
        match ServiceInfo::of(service) {
            Some(info) => {
                if self.services.get(&name) == Some(&info) {
                    return false;
                }
                self.services.insert(Arc::clone(&name), info);
            }
            // Headless and ExternalName Services, and those of another proxy, have nothing to program.
            None => {
                if self.services.remove(&name).is_none() {
                    return false;
                }
            }
        }
        self.dirty.insert(name);
        true
    }

    /// Forgets a Service.
    pub fn delete_service(&mut self, namespace: &str, name: &str) -> bool {
        let name = key(Some(namespace), Some(name));
        let removed = self.services.remove(&name).is_some();
        if removed {
            self.dirty.insert(name);
        }
        removed
    }

    /// Takes in an EndpointSlice.
    pub fn apply_slice(&mut self, slice: &EndpointSlice) -> bool {
        let (namespace, name) =
            (slice.metadata.namespace.as_deref(), slice.metadata.name.as_deref().unwrap_or(""));
        let Some((owner, info)) = Slice::of(slice, &self.node_name) else {
            return self.delete_slice(namespace.unwrap_or(""), name);
        };
        let owner = key(namespace, Some(&owner));
        let slice_key: Box<str> = (*key(namespace, Some(name))).into();
        let mut changed = match self.owners.insert(slice_key, Arc::clone(&owner)) {
            Some(before) if before != owner => self.remove_slice(&before, name),
            _ => false,
        };
        let slices = self.slices.entry(Arc::clone(&owner)).or_default();
        if slices.get(name) != Some(&info) {
            slices.insert(name.into(), info);
            self.dirty.insert(owner);
            self.triggers.extend(endpoints::trigger_time(slice));
            changed = true;
        }
        changed
    }

    /// Forgets an EndpointSlice.
    pub fn delete_slice(&mut self, namespace: &str, name: &str) -> bool {
        let slice_key = key(Some(namespace), Some(name));
        match self.owners.remove(&*slice_key) {
            Some(owner) => self.remove_slice(&owner, name),
            None => false,
        }
    }

    fn remove_slice(&mut self, owner: &ServiceName, name: &str) -> bool {
        let Some(slices) = self.slices.get_mut(owner) else { return false };
        let removed = slices.remove(name).is_some();
        if slices.is_empty() {
            self.slices.remove(owner);
        }
        if removed {
            self.dirty.insert(Arc::clone(owner));
        }
        removed
    }

    /// Takes in this proxy's own Node; others are not looked at. All Services are dirty when zone or addresses change.
    pub fn apply_node(&mut self, node: &Node) -> bool {
        if node.metadata.name.as_deref() != Some(&self.node_name) {
            return false;
        }
        let info = NodeInfo::of(node);
        let changed = info != self.node;
        if info.zone != self.node.zone || info.addresses != self.node.addresses {
            self.dirty.extend(self.services.keys().cloned());
        }
        self.node = info;
        changed
    }

    /// The Node has been deleted.
    pub fn delete_node(&mut self) -> bool {
        !std::mem::replace(&mut self.node.deleted, true)
    }

    /// Name of this proxy's Node.
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// What is known of this proxy's Node.
    pub fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// Services known.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether no Service is known.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Services waiting to be programmed.
    pub fn pending(&self) -> usize {
        self.dirty.len()
    }

    /// The Services that changed since the last call, each with its model (`None` when it is gone).
    pub fn take_changes(&mut self) -> Vec<(ServiceName, Option<ServiceModel>)> {
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|name| {
                let model = self.model(&name);
                (name, model)
            })
            .collect()
    }

    /// When the endpoints that [`Self::take_changes`] gave out changed.
    pub fn take_triggers(&mut self) -> Vec<SystemTime> {
        std::mem::take(&mut self.triggers)
    }

    /// The model of one Service, computed from what is known now.
    pub fn model(&self, name: &ServiceName) -> Option<ServiceModel> {
        let service = self.services.get(name)?;
        let none = BTreeMap::new();
        let slices = self.slices.get(name).unwrap_or(&none);
        let mut model = ServiceModel::default();
        let mut local: BTreeSet<std::net::SocketAddr> = BTreeSet::new();
        for port in &service.ports {
            for family in [Family::V4, Family::V6] {
                if !service.has_family(family) {
                    continue;
                }
                let endpoints = slices.values().filter(|slice| slice.family == family);
                let endpoints = endpoints.flat_map(|slice| slice.endpoints_of(port));
                let choice = choose(endpoints, &self.node_name, self.node.zone.as_deref());
                local.extend(choice.local.iter().copied());
                model.ports.push(PortModel::of(name, service, port, family, choice, &self.node.addresses));
            }
        }
        if let Some(port) = service.health_check_node_port {
            let pods: BTreeSet<std::net::IpAddr> = local.iter().map(|address| address.ip()).collect();
            model.health_check = Some((port, pods.len()));
        }
        Some(model)
    }
}

fn key(namespace: Option<&str>, name: Option<&str>) -> ServiceName {
    format!("{}/{}", namespace.unwrap_or(""), name.unwrap_or("")).into()
}

#[cfg(test)]
mod tests;
