//! Which endpoints get new connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Endpoint;

/// Endpoints chosen for a port. Addresses are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// For traffic that may go anywhere in the cluster.
    pub cluster: Vec<SocketAddr>,
    /// For traffic that must stay on this node.
    pub local: Vec<SocketAddr>,
    /// The port has endpoints somewhere, usable from here or not.
    pub any: bool,
    /// Addresses in either list whose pods run on this node, or may.
    pub on_node: Vec<SocketAddr>,
}

/// Ready endpoints, narrowed by topology hints; when none is ready, those that are terminating and still serve (KEP-1669). The
/// same rule applies to the endpoints of this node by themselves, where hints do not count.
pub fn choose<'a>(
    endpoints: impl Iterator<Item = (SocketAddr, &'a Endpoint)>,
    node: &str,
    zone: Option<&str>,
) -> Choice {
    // One address may be in two slices for a while; the one in better shape counts.
    let mut all: BTreeMap<SocketAddr, &Endpoint> = BTreeMap::new();
    for (address, endpoint) in endpoints {
        let rank = |endpoint: &Endpoint| (endpoint.ready, endpoint.serving);
        all.entry(address)
            .and_modify(|known| {
                if rank(endpoint) > rank(known) {
                    *known = endpoint;
                }
            })
            .or_insert(endpoint);
    }
    let ready: Vec<_> = all.iter().filter(|(_, endpoint)| endpoint.ready).map(|(a, e)| (*a, *e)).collect();
    let draining: Vec<_> = all
        .iter()
        .filter(|(_, endpoint)| !endpoint.ready && endpoint.serving && endpoint.terminating)
        .map(|(a, e)| (*a, *e))
        .collect();

    let cluster = if ready.is_empty() { draining.clone() } else { by_hints(&ready, node, zone) };
    let local_of = |list: &[(SocketAddr, &'a Endpoint)]| {
        list.iter().filter(|(_, e)| e.local).copied().collect::<Vec<_>>()
    };
    let mut local = local_of(&ready);
    if local.is_empty() {
        local = local_of(&draining);
    }
    let mut on_node: Vec<SocketAddr> = cluster
        .iter()
        .chain(&local)
        .filter(|(_, endpoint)| endpoint.local || endpoint.unplaced)
        .map(|(address, _)| *address)
        .collect();
    on_node.sort_unstable();
    on_node.dedup();
    let addresses =
        |list: Vec<(SocketAddr, &Endpoint)>| list.into_iter().map(|(address, _)| address).collect();
    Choice {
        cluster: addresses(cluster),
        local: addresses(local),
        any: !(ready.is_empty() && draining.is_empty()),
        on_node,
    }
}

/// Hints count only when every ready endpoint has one and at least one endpoint is for us; otherwise all are used. Node
/// hints go before zone hints.
fn by_hints<'a>(
    ready: &[(SocketAddr, &'a Endpoint)],
    node: &str,
    zone: Option<&str>,
) -> Vec<(SocketAddr, &'a Endpoint)> {
    let narrowed = |hints: fn(&Endpoint) -> &[Box<str>], wanted: &str| {
        let complete = ready.iter().all(|(_, endpoint)| !hints(endpoint).is_empty());
        let for_us = || ready.iter().filter(|(_, e)| hints(e).iter().any(|name| **name == *wanted)).copied();
        complete.then(for_us).map(Iterator::collect::<Vec<_>>).filter(|list| !list.is_empty())
    };
    narrowed(|endpoint| &endpoint.nodes, node)
        .or_else(|| narrowed(|endpoint| &endpoint.zones, zone?))
        .unwrap_or_else(|| ready.to_vec())
}
