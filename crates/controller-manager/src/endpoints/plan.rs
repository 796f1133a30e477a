//! From a service and its pods to the subsets of its Endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Pod, Service};

use crate::common::slices::HEADLESS;
use crate::common::{pods, service};

/// Most addresses in one Endpoints object.
const MAX_ADDRESSES: usize = 1000;
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

/// The subsets, and whether addresses were left out because there are too many.
pub(super) fn subsets(object: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let Some(spec) = service::selecting(object) else { return (Vec::new(), false) };
    let all_ready = spec.publish_not_ready_addresses == Some(true);
    let six = spec
        .ip_families
        .as_ref()
        .and_then(|families| families.first())
        .is_some_and(|family| family == "IPv6");
    // Addresses by the ports they serve; a pod that lacks a named port serves the others.
    let mut by_ports: Vec<(Vec<EndpointPort>, EndpointSubset)> = Vec::new();
    for pod in pods.iter().filter(|pod| service::is_candidate(pod, all_ready)) {
        let Some(ip) = service::addresses(pod).into_iter().find(|ip| ip.is_ipv6() == six) else { continue };
        let ports = ports(object, pod);
        if ports.is_empty() && !spec.ports.clone().unwrap_or_default().is_empty() {
            continue;
        }
        let at = by_ports.iter().position(|(known, _)| *known == ports).unwrap_or_else(|| {
            by_ports
                .push((ports.clone(), EndpointSubset { ports: some(ports), ..EndpointSubset::default() }));
            by_ports.len() - 1
        });
        let subset = &mut by_ports[at].1;
        let ready = all_ready || pods::is_ready(pod);
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(EndpointAddress {
            ip: ip.to_string(),
            hostname: service::host_name(pod, object),
            node_name: Some(pods::node(pod).to_owned()),
            target_ref: Some(service::target(pod)),
        });
    }
    let mut subsets: Vec<EndpointSubset> = by_ports.into_iter().map(|(_, subset)| subset).collect();
    for subset in &mut subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
            list.sort_by_key(|address| address.ip.parse::<IpAddr>().ok());
        }
    }
    let truncated = truncate(&mut subsets);
    (subsets, truncated)
}

fn ports(object: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let spec = object.spec.clone().unwrap_or_default();
    let of = |port: &api_types::k8s::api::core::v1::ServicePort| {
        Some(EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: service::target_port(port, pod)?,
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    };
    spec.ports.iter().flatten().filter_map(of).collect()
}

/// Drops addresses beyond the limit, those that are not ready first.
fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let count = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let total: usize = subsets.iter().map(|s| count(&s.addresses) + count(&s.not_ready_addresses)).sum();
    let mut left = MAX_ADDRESSES;
    if total <= left {
        return false;
    }
    for subset in subsets.iter_mut() {
        if let Some(list) = &mut subset.addresses {
            list.truncate(left);
            left -= list.len();
        }
    }
    for subset in subsets.iter_mut() {
        if let Some(list) = &mut subset.not_ready_addresses {
            list.truncate(left);
            left -= list.len();
        }
    }
    true
}

/// The labels of a service's Endpoints.
pub(super) fn labels(object: &Service) -> BTreeMap<String, String> {
    let mut labels = object.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
    if object.spec.as_ref().is_some_and(service::is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
