//! The model that is programmed: front ends and backends, nothing of how the kernel does it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use nfnetlink::Family;

use super::{Choice, Port, ServiceInfo, ServiceName};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// From the API's name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// IANA's protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// All that is programmed for a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceModel {
    /// Each port, per family.
    pub ports: Vec<PortModel>,
    /// Health-check node port, with the number of endpoints on this node.
    pub health_check: Option<(u16, usize)>,
}

/// Where traffic goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// To one of these, chosen at random. Never empty.
    To(Vec<SocketAddr>),
    /// Nowhere, and the client is told so: there are no endpoints.
    Reject,
    /// Nowhere, silently: there are endpoints, but the policy keeps traffic on nodes that have one.
    Drop,
}

/// Where traffic from outside the cluster goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum External {
    /// Anywhere, with the source hidden so that answers come back through this node.
    Cluster(Traffic),
    /// To this node's endpoints, the source kept. Traffic from this node and its pods goes to `nearby` instead.
    Local {
        /// From elsewhere.
        outside: Traffic,
        /// From this node and its pods.
        nearby: Traffic,
    },
}

/// One port of a Service, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortModel {
    /// `namespace/name:port`, for comments and logs.
    pub label: Arc<str>,
    /// Family of every address here.
    pub family: Family,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the virtual addresses.
    pub port: u16,
    /// Port on every node.
    pub node_port: Option<u16>,
    /// Addresses used inside the cluster.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses used from outside, load balancers' among them.
    pub external_ips: Vec<IpAddr>,
    /// Those of the load balancer to which `source_ranges` apply; empty when everybody may use them.
    pub guarded_ips: Vec<IpAddr>,
    /// Who may use `guarded_ips`.
    pub source_ranges: Vec<IpNet>,
    /// One of the ranges has this node, so that the guarded addresses may talk to themselves too.
    pub guard_admits_node: bool,
    /// Client-IP affinity, seconds.
    pub affinity: Option<u32>,
    /// Traffic to the cluster IPs.
    pub internal: Traffic,
    /// Traffic to external addresses and the node port.
    pub external: External,
    /// Addresses of backends on this node, which may be their own clients.
    pub on_node: Vec<IpAddr>,
}

impl PortModel {
    /// Puts a Service's port and the endpoints chosen for it together.
    pub(super) fn of(
        name: &ServiceName,
        service: &ServiceInfo,
        port: &Port,
        family: Family,
        choice: Choice,
        node_addresses: &[IpAddr],
    ) -> Self {
        let ours =
            |ips: &[IpAddr]| ips.iter().copied().filter(|ip| Family::of(*ip) == family).collect::<Vec<_>>();
        let load_balancer = ours(&service.load_balancer_ips);
        let mut external_ips = ours(&service.external_ips);
        external_ips.extend(load_balancer.iter().filter(|ip| !service.external_ips.contains(ip)));
        let ranges: Vec<IpNet> = service
            .source_ranges
            .iter()
            .copied()
            .filter(|range| Family::of(range.addr()) == family)
            .collect();
        let traffic = |list: &[SocketAddr]| match (list.is_empty(), choice.any) {
            (false, _) => Traffic::To(list.to_vec()),
            (true, true) => Traffic::Drop,
            (true, false) => Traffic::Reject,
        };
        let external = if service.external_local {
            External::Local { outside: traffic(&choice.local), nearby: traffic(&choice.cluster) }
        } else {
            External::Cluster(traffic(&choice.cluster))
        };
        let separator = if port.name.is_empty() { "" } else { ":" };
        Self {
            label: format!("{name}{separator}{}", port.name).into(),
            family,
            protocol: port.protocol,
            port: port.port,
            node_port: port.node_port,
            cluster_ips: ours(&service.cluster_ips),
            external_ips,
            guarded_ips: if service.source_ranges.is_empty() { Vec::new() } else { load_balancer },
            guard_admits_node: ranges.iter().any(|range| node_addresses.iter().any(|ip| range.contains(ip))),
            source_ranges: ranges,
            affinity: service.affinity,
            internal: traffic(if service.internal_local { &choice.local } else { &choice.cluster }),
            external,
            on_node: {
                let mut ips: Vec<IpAddr> = choice.on_node.iter().map(SocketAddr::ip).collect();
                ips.dedup();
                ips
            },
        }
    }
}
