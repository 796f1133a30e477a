//! A Service, cut down to what packets depend on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api_types::k8s::api::core::v1::{Service, ServiceSpec};
use ipnet::IpNet;
use nfnetlink::Family;

use super::model::Protocol;

/// A Service with this label belongs to another proxy.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Client-IP affinity when the Service gives no timeout, seconds.
const DEFAULT_AFFINITY: u32 = 10_800;

/// What the proxy keeps of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceInfo {
    /// Cluster IPs, one per family.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Load-balancer ingress addresses whose traffic arrives unchanged (`ipMode: VIP`).
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may use the load-balancer addresses; empty for all.
    pub source_ranges: Vec<IpNet>,
    /// Client-IP affinity, seconds.
    pub affinity: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Where load balancers ask whether this node has endpoints.
    pub health_check_node_port: Option<u16>,
    /// Ports.
    pub ports: Vec<Port>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name, empty when there is only one.
    pub name: Box<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the virtual addresses.
    pub port: u16,
    /// Port on every node, if any.
    pub node_port: Option<u16>,
}

impl ServiceInfo {
    /// Cuts a Service down; `None` when this proxy has nothing to do for it.
    pub fn of(service: &Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let labels = service.metadata.labels.as_ref();
        if spec.type_.as_deref() == Some("ExternalName")
            || labels.is_some_and(|labels| labels.contains_key(PROXY_NAME))
        {
            return None;
        }
        let cluster_ips = cluster_ips(spec);
        if cluster_ips.is_empty() {
            return None;
        }
        let balanced = spec.type_.as_deref() == Some("LoadBalancer");
        let exposed = balanced || spec.type_.as_deref() == Some("NodePort");
        let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
        let health_check =
            spec.health_check_node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        Some(Self {
            cluster_ips,
            external_ips: unique(spec.external_ips.iter().flatten().filter_map(|ip| ip.parse().ok())),
            load_balancer_ips: if balanced { ingress_ips(service) } else { Vec::new() },
            source_ranges: spec
                .load_balancer_source_ranges
                .iter()
                .flatten()
                .filter_map(|range| range.trim().parse().ok())
                .collect(),
            affinity: affinity(spec),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local,
            health_check_node_port: health_check.filter(|_| balanced && external_local),
            ports: spec
                .ports
                .iter()
                .flatten()
                .filter_map(|port| {
                    Some(Port {
                        name: port.name.as_deref().unwrap_or("").into(),
                        protocol: Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?,
                        port: u16::try_from(port.port).ok()?,
                        node_port: port
                            .node_port
                            .filter(|_| exposed)
                            .and_then(|n| u16::try_from(n).ok())
                            .filter(|n| *n != 0),
                    })
                })
                .collect(),
        })
    }

    /// Whether the Service has a cluster IP of the family.
    pub fn has_family(&self, family: Family) -> bool {
        self.cluster_ips.iter().any(|ip| Family::of(*ip) == family)
    }
}

/// Without a usable address (headless, or not allocated yet) the list is empty.
fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.iter().flatten().map(String::as_str);
    let single = spec.cluster_ip.as_deref().filter(|_| spec.cluster_ips.as_ref().is_none_or(Vec::is_empty));
    unique(listed.chain(single).filter_map(|ip| ip.parse().ok()))
}

fn ingress_ips(service: &Service) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    unique(
        ingress
            .iter()
            .filter(|ingress| ingress.ip_mode.as_deref().unwrap_or("VIP") == "VIP")
            .filter_map(|ingress| ingress.ip.as_deref()?.parse().ok()),
    )
}

fn affinity(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds =
        config.and_then(|config| config.timeout_seconds).and_then(|seconds| u32::try_from(seconds).ok());
    Some(seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_AFFINITY))
}

fn unique(ips: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let set: BTreeSet<IpAddr> = ips.filter(|ip| !ip.is_unspecified()).collect();
    set.into_iter().collect()
}
