//! From Nodes and this host's addresses to ranges and routes. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use api_types::k8s::api::core::v1::Node;
use ipnet::IpNet;

/// Annotation of a Node that shares its host's file system with other nodes: the directory under which its runtime has its
/// CNI configuration and its addresses' leases. Development clusters in network namespaces use it.
pub const NODE_ROOT: &str = "network.coxswain.io/node-root";

/// What matters of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Ranges of its pods.
    pub pod_ranges: Vec<IpNet>,
    /// Its `InternalIP`s.
    pub addresses: Vec<IpAddr>,
    /// See [`NODE_ROOT`]; `/` for a node that has its host for itself.
    pub root: PathBuf,
}

impl NodeInfo {
    /// Cuts a Node down.
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let listed = spec.and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default();
        let single = spec.and_then(|spec| spec.pod_cidr.as_ref()).filter(|_| listed.is_empty());
        let addresses =
            node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let root = node.metadata.annotations.as_ref().and_then(|annotations| annotations.get(NODE_ROOT));
        let internal = addresses.iter().filter(|address| address.type_ == "InternalIP");
        Self {
            pod_ranges: listed.iter().chain(single).filter_map(|range| range.parse().ok()).collect(),
            addresses: internal.filter_map(|address| address.address.parse().ok()).collect(),
            root: root.map_or_else(|| "/".into(), PathBuf::from),
        }
    }
}

/// An address of this host with the network behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostAddress {
    /// Interface number.
    pub interface: u32,
    /// Address and prefix.
    pub network: IpNet,
}

/// A route to another node's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Pod range.
    pub to: IpNet,
    /// That node.
    pub via: IpAddr,
    /// Interface that the node is reached through.
    pub interface: u32,
}

/// What a node's network shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ranges of this node's pods; empty until it has some.
    pub ours: Vec<IpNet>,
    /// The directory of this node's files on its host.
    pub root: PathBuf,
    /// Routes to other nodes' pods.
    pub routes: BTreeSet<Route>,
    /// Ranges of all nodes, few and merged.
    pub cluster: Vec<IpNet>,
    /// Nodes whose pods are not reachable, with the reason.
    pub unreachable: BTreeMap<String, String>,
}

/// Plans for `node`. `cluster` are the configured pod ranges, empty for those that the nodes have.
pub fn plan(node: &str, nodes: &BTreeMap<String, NodeInfo>, host: &[HostAddress], cluster: &[IpNet]) -> Plan {
    let us = nodes.get(node).cloned().unwrap_or_default();
    let mut plan = Plan { ours: us.pod_ranges, root: us.root, ..Plan::default() };
    for (name, info) in nodes.iter().filter(|(name, _)| *name != node) {
        for range in &info.pod_ranges {
            // A range that is also ours would cut our own pods off.
            if plan.ours.iter().any(|ours| ours.contains(range) || range.contains(ours)) {
                plan.unreachable.insert(name.clone(), format!("its pod range {range} overlaps ours"));
                continue;
            }
            match reach(range, &info.addresses, host) {
                Ok(route) => {
                    plan.routes.insert(route);
                }
                Err(reason) => {
                    plan.unreachable.insert(name.clone(), reason);
                }
            }
        }
    }
    let all: Vec<IpNet> = match cluster {
        [] => nodes.values().flat_map(|info| info.pod_ranges.iter().copied()).collect(),
        configured => configured.to_vec(),
    };
    plan.cluster = IpNet::aggregate(&all);
    plan
}

/// The route to a range through the node that has one of `addresses` on a link of ours; the narrowest network counts.
fn reach(range: &IpNet, addresses: &[IpAddr], host: &[HostAddress]) -> Result<Route, String> {
    let same_family = |ip: &&IpAddr| ip.is_ipv4() == range.addr().is_ipv4();
    let mut known = addresses.iter().filter(same_family).peekable();
    if known.peek().is_none() {
        return Err(format!("it has no InternalIP of the family of its pod range {range}"));
    }
    let links = known.flat_map(|via| {
        let on_link = host.iter().filter(move |address| address.network.contains(via));
        on_link.map(move |address| (address.network.prefix_len(), address.interface, *via))
    });
    match links.max_by_key(|(prefix, ..)| *prefix) {
        Some((_, interface, via)) => Ok(Route { to: *range, via, interface }),
        None => Err(format!(
            "none of its InternalIPs {addresses:?} is on a link of this node; routing its pods needs a router or an overlay"
        )),
    }
}

/// Routes to delete and to add to get from what is there to what shall be.
pub fn difference(present: &BTreeSet<Route>, wanted: &BTreeSet<Route>) -> (Vec<Route>, Vec<Route>) {
    (present.difference(wanted).copied().collect(), wanted.difference(present).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn node(range: &str, address: &str) -> NodeInfo {
        NodeInfo {
            pod_ranges: vec![net(range)],
            addresses: address.parse().into_iter().collect(),
            root: "/".into(),
        }
    }

    fn host() -> Vec<HostAddress> {
        vec![
            HostAddress { interface: 2, network: net("192.168.0.1/16") },
            HostAddress { interface: 3, network: net("192.168.7.1/24") },
        ]
    }

    #[test]
    fn nodes_on_our_links_get_routes() {
        let nodes = BTreeMap::from([
            ("me".to_owned(), node("10.244.0.0/24", "192.168.0.1")),
            ("near".to_owned(), node("10.244.1.0/24", "192.168.0.2")),
            ("nearer".to_owned(), node("10.244.2.0/24", "192.168.7.2")),
            ("far".to_owned(), node("10.244.3.0/24", "172.16.0.9")),
            ("bare".to_owned(), node("10.244.4.0/24", "-")),
            ("new".to_owned(), NodeInfo::default()),
            ("twin".to_owned(), node("10.244.0.0/25", "192.168.0.3")),
        ]);
        let plan = plan("me", &nodes, &host(), &[]);
        let route = |to, via: &str, interface| Route { to: net(to), via: via.parse().unwrap(), interface };
        let expected = [route("10.244.1.0/24", "192.168.0.2", 2), route("10.244.2.0/24", "192.168.7.2", 3)];
        assert_eq!(plan.routes, BTreeSet::from(expected));
        assert_eq!(plan.unreachable.keys().collect::<Vec<_>>(), ["bare", "far", "twin"]);
        assert_eq!(plan.ours, [net("10.244.0.0/24")]);
        assert_eq!(plan.cluster, [net("10.244.0.0/22"), net("10.244.4.0/24")]);
    }

    #[test]
    fn configured_ranges_go_first() {
        let nodes = BTreeMap::from([("me".to_owned(), node("10.244.0.0/24", "192.168.0.1"))]);
        assert_eq!(plan("me", &nodes, &host(), &[net("10.244.0.0/16")]).cluster, [net("10.244.0.0/16")]);
        assert!(plan("other", &nodes, &host(), &[]).ours.is_empty());
    }
}
