//! From a service, its pods and their nodes to the endpoints that the slices should hold.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Pod, Service, ServiceSpec};
use api_types::k8s::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};

use crate::common::slices::{self, Action, Group, HEADLESS, MANAGED_BY, SERVICE_NAME};
use crate::common::{pods, service};

/// Value of the managed-by label.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

/// A service with everything its endpoints are made of.
pub(super) struct Snapshot {
    pub service: Arc<Service>,
    /// Pods that the selector matches.
    pub pods: Vec<Arc<Pod>>,
    /// Nodes of these pods, by name.
    pub nodes: HashMap<String, Arc<Node>>,
    /// The slices that we keep for the service.
    pub slices: Vec<EndpointSlice>,
    pub max_per_slice: usize,
}

/// The writes, and whether a pod was left out because its node is unknown.
pub(super) fn plan(snapshot: &Snapshot) -> (Vec<Action>, bool) {
    let Some(spec) = service::selecting(&snapshot.service) else { return (Vec::new(), false) };
    let families = families(spec);
    let mut groups = Vec::new();
    let mut incomplete = false;
    for pod in snapshot.pods.iter().filter(|pod| service::is_candidate(pod, true)) {
        let node = snapshot.nodes.get(pods::node(pod));
        if node.is_none() && spec.publish_not_ready_addresses != Some(true) {
            incomplete = true;
            continue;
        }
        for family in &families {
            let addresses = service::addresses(pod);
            let of_family = addresses.iter().find(|address| family_of(**address) == family.as_str());
            let Some(address) = of_family else { continue };
            groups.push(Group {
                address_type: family.clone(),
                ports: ports(spec, pod),
                endpoints: vec![endpoint(&snapshot.service, spec, pod, node.map(|node| &**node), *address)],
            });
        }
    }
    let labels = labels(&snapshot.service);
    let stale = |slice: &EndpointSlice| slice.metadata.labels.as_ref() != Some(&labels);
    (slices::reconcile(&snapshot.slices, groups, snapshot.max_per_slice, &families, stale), incomplete)
}

/// The labels of a service's slices: its own, and ours.
pub(super) fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().is_some_and(service::is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

/// The address families that the service serves.
fn families(spec: &ServiceSpec) -> Vec<String> {
    match &spec.ip_families {
        Some(families) if !families.is_empty() => families.clone(),
        _ => vec!["IPv4".to_owned()],
    }
}

fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<EndpointPort> {
    let of = |port: &api_types::k8s::api::core::v1::ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(service::target_port(port, pod)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    };
    spec.ports.iter().flatten().filter_map(of).collect()
}

fn endpoint(
    service: &Service,
    spec: &ServiceSpec,
    pod: &Pod,
    node: Option<&Node>,
    address: IpAddr,
) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let ready = spec.publish_not_ready_addresses == Some(true) || (serving && !terminating);
    let zone = node.and_then(|node| node.metadata.labels.as_ref()?.get(ZONE).cloned());
    let node_name = Some(pods::node(pod).to_owned());
    Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: service::host_name(pod, service),
        hints: hints(spec, ready, zone.as_deref(), node_name.as_deref()),
        zone,
        node_name,
        target_ref: Some(service::target(pod)),
        deprecated_topology: None,
    }
}

/// Where traffic to an endpoint should come from, if the service prefers what is near.
fn hints(spec: &ServiceSpec, ready: bool, zone: Option<&str>, node: Option<&str>) -> Option<EndpointHints> {
    let preference = spec.traffic_distribution.as_deref().filter(|_| ready)?;
    let zones = || zone.map(|name| vec![ForZone { name: name.to_owned() }]);
    match preference {
        "PreferClose" | "PreferSameZone" => {
            Some(EndpointHints { for_zones: Some(zones()?), for_nodes: None })
        }
        "PreferSameNode" => Some(EndpointHints {
            for_zones: zones(),
            for_nodes: Some(vec![ForNode { name: node?.to_owned() }]),
        }),
        _ => None,
    }
}
