//! This proxy's own Node.

use std::net::IpAddr;

use api_types::k8s::api::core::v1::Node;
use ipnet::IpNet;

/// Label of a node's zone, `topology.kubernetes.io/zone`.
const ZONE: &str = "topology.kubernetes.io/zone";
/// The cluster autoscaler's mark on nodes that it is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// What packets and health checks depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Zone, for topology hints.
    pub zone: Option<String>,
    /// Internal addresses, then external ones.
    pub addresses: Vec<IpAddr>,
    /// Ranges of the node's own pods, for `detectLocalMode: NodeCIDR`.
    pub pod_ranges: Vec<IpNet>,
    /// The node is going away, so load balancers should stop sending traffic (KEP-3836).
    pub leaving: bool,
    /// The Node object was deleted.
    pub deleted: bool,
}

impl NodeInfo {
    /// Cuts a Node down.
    pub fn of(node: &Node) -> Self {
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let of_type = |kind: &'static str| addresses.iter().filter(move |address| address.type_ == kind);
        let spec = node.spec.as_ref();
        let ranges = spec.map(|spec| match &spec.pod_cidrs {
            Some(ranges) if !ranges.is_empty() => ranges.clone(),
            _ => spec.pod_cidr.iter().cloned().collect(),
        });
        let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        Self {
            zone: node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)).cloned(),
            addresses: of_type("InternalIP")
                .chain(of_type("ExternalIP"))
                .filter_map(|address| address.address.parse().ok())
                .collect(),
            pod_ranges: ranges.unwrap_or_default().iter().filter_map(|range| range.parse().ok()).collect(),
            leaving: node.metadata.deletion_timestamp.is_some()
                || taints.iter().any(|taint| taint.key == TO_BE_DELETED),
            deleted: false,
        }
    }

    /// The first address of a family.
    pub fn primary(&self, v6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|ip| ip.is_ipv6() == v6)
    }
}
