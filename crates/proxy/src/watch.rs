//! What is watched: Services, EndpointSlices and this proxy's own Node, cut down before they are kept.

use api_types::k8s::api::core::v1::{Node, Service};
use api_types::k8s::api::discovery::v1::EndpointSlice;
use client::{Change, Informers, Scope, Subscription};

use crate::index::{Index, SERVICE_NAME};
use crate::metrics::METRICS;

/// Objects that no proxy has to look at.
const NOT_HEADLESS: &str = "!service.kubernetes.io/headless";
const FOR_US: &str = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";

/// Changes on their way to the index.
pub struct Watch {
    services: Subscription<Service>,
    slices: Subscription<EndpointSlice>,
    nodes: Subscription<Node>,
}

/// A change of one object.
pub enum Event {
    /// A Service.
    Service(Change<Service>),
    /// An EndpointSlice.
    Slice(Change<EndpointSlice>),
    /// The node.
    Node(Change<Node>),
}

impl Watch {
    /// Starts the informers.
    pub fn start(informers: &Informers, node_name: &str) -> Self {
        informers.transform::<Service>(trim_service);
        informers.transform::<EndpointSlice>(trim_slice);
        informers.transform::<Node>(trim_node);
        Self {
            services: informers.select::<Service>(Scope::labels(FOR_US)).subscribe(),
            slices: informers.select::<EndpointSlice>(Scope::labels(NOT_HEADLESS)).subscribe(),
            nodes: informers.select::<Node>(Scope::fields(format!("metadata.name={node_name}"))).subscribe(),
        }
    }

    /// Waits for a change. Cancel safe.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            change = self.services.next() => Event::Service(change),
            change = self.slices.next() => Event::Slice(change),
            change = self.nodes.next() => Event::Node(change),
        }
    }

    /// A change that is there now.
    pub fn try_next(&mut self) -> Option<Event> {
        let node = self.nodes.try_next().map(Event::Node);
        node.or_else(|| self.services.try_next().map(Event::Service))
            .or_else(|| self.slices.try_next().map(Event::Slice))
    }
}

impl Event {
    /// Takes the change into the index; says whether anything that matters changed.
    pub fn apply(&self, index: &mut Index) -> bool {
        match self {
            Self::Service(Change { key, new, .. }) => {
                let changed = match new {
                    Some(service) => index.apply_service(service),
                    None => index.delete_service(&key.namespace, &key.name),
                };
                METRICS.service_changes.inc_by(changed.into());
                changed
            }
            Self::Slice(Change { key, new, .. }) => {
                let changed = match new {
                    Some(slice) => index.apply_slice(slice),
                    None => index.delete_slice(&key.namespace, &key.name),
                };
                METRICS.endpoint_changes.inc_by(changed.into());
                changed
            }
            Self::Node(Change { new, .. }) => match new {
                Some(node) => index.apply_node(node),
                None => index.delete_node(),
            },
        }
    }
}

/// What is left out is never read here; what stays gives back the room that decoding took in advance, which is most of it.
fn trim_service(service: &mut Service) {
    service.metadata.annotations = None;
    service.metadata.owner_references = None;
    if let Some(spec) = &mut service.spec {
        spec.selector = None;
        spec.ip_families = None;
        spec.ports.iter_mut().for_each(Vec::shrink_to_fit);
        spec.cluster_ips.iter_mut().for_each(Vec::shrink_to_fit);
    }
}

fn trim_slice(slice: &mut EndpointSlice) {
    slice.metadata.owner_references = None;
    if let Some(labels) = &mut slice.metadata.labels {
        labels.retain(|name, _| name == SERVICE_NAME);
    }
    for endpoint in slice.endpoints.iter_mut().flatten() {
        endpoint.target_ref = None;
        endpoint.zone = None;
        endpoint.hostname = None;
        endpoint.addresses.shrink_to_fit();
    }
    slice.endpoints.iter_mut().for_each(Vec::shrink_to_fit);
    slice.ports.iter_mut().for_each(Vec::shrink_to_fit);
}

fn trim_node(node: &mut Node) {
    node.metadata.annotations = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        status.conditions = None;
    }
}
