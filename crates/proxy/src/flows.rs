//! UDP flows that lead to endpoints which are gone.
//!
//! The kernel goes on sending an established flow where its first packet went. TCP clients notice; UDP clients (resolvers
//! above all) would send to a dead address until the entry times out, which it never does while they keep sending.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use nfnetlink::conntrack::Flow;

use crate::index::{Protocol, ServiceName};
use crate::program::ServiceChange;
use crate::program::nftables::element::Frontend;
use crate::program::nftables::plan::udp_frontends;

type Backends = HashSet<SocketAddr>;

/// The UDP front ends of all Services.
#[derive(Debug, Default)]
pub struct UdpFrontends {
    services: HashMap<ServiceName, HashMap<Frontend, Backends>>,
}

impl UdpFrontends {
    /// Takes changes over. Gives the front ends whose flows have to be looked at: those that lost a backend, with what is
    /// left, and those that got their first one, which clients may have tried before.
    pub fn replace(&mut self, changes: &[ServiceChange]) -> HashMap<Frontend, Backends> {
        let mut suspects = HashMap::new();
        for (name, model) in changes {
            let mut after: HashMap<Frontend, Backends> = HashMap::new();
            for (at, backends) in model.iter().flat_map(udp_frontends) {
                after.entry(at).or_default().extend(backends);
            }
            let before = self.services.remove(name).unwrap_or_default();
            let nothing = Backends::new();
            for (at, old) in &before {
                let new = after.get(at).unwrap_or(&nothing);
                if !old.is_subset(new) || (old.is_empty() && !new.is_empty()) {
                    suspects.insert(*at, new.clone());
                }
            }
            for (at, new) in after.iter().filter(|(at, new)| !before.contains_key(at) && !new.is_empty()) {
                suspects.insert(*at, new.clone());
            }
            if !after.is_empty() {
                self.services.insert(name.clone(), after);
            }
        }
        suspects
    }
}

/// Whether a flow leads elsewhere than to a backend of the front end that it was sent to.
pub fn is_stale(
    flow: &Flow,
    suspects: &HashMap<Frontend, Backends>,
    node_address: impl Fn(IpAddr) -> bool,
) -> bool {
    let sent_to = flow.original.destination;
    let port = flow.original.destination_port;
    let at = Frontend { ip: sent_to, protocol: Protocol::Udp, port };
    let node_port = || {
        let at = Frontend::node_port(nfnetlink::Family::of(sent_to), Protocol::Udp, port);
        suspects.get(&at).filter(|_| node_address(sent_to))
    };
    let Some(backends) = suspects.get(&at).or_else(node_port) else { return false };
    !backends.contains(&SocketAddr::new(flow.reply.source, flow.reply.source_port))
}

#[cfg(test)]
mod tests {
    use nfnetlink::conntrack::Tuple;

    use super::*;

    fn flow(to: &str, port: u16, from: &str) -> Flow {
        let client: IpAddr = "10.0.0.9".parse().unwrap();
        let from: SocketAddr = from.parse().unwrap();
        let to: IpAddr = to.parse().unwrap();
        let tuple = |source, source_port, destination, destination_port| Tuple {
            source,
            destination,
            protocol: 17,
            source_port,
            destination_port,
        };
        Flow { original: tuple(client, 4000, to, port), reply: tuple(from.ip(), from.port(), client, 4000) }
    }

    #[test]
    fn only_flows_to_lost_backends_are_stale() {
        let at = Frontend { ip: "10.96.0.10".parse().unwrap(), protocol: Protocol::Udp, port: 53 };
        let node_port = Frontend::node_port(nfnetlink::Family::V4, Protocol::Udp, 30053);
        let left: Backends = ["10.0.0.1:53".parse().unwrap()].into();
        let suspects = HashMap::from([(at, left.clone()), (node_port, left)]);
        let node = |ip: IpAddr| ip == "192.168.0.1".parse::<IpAddr>().unwrap();
        let cases = [
            (flow("10.96.0.10", 53, "10.0.0.1:53"), false),
            (flow("10.96.0.10", 53, "10.0.0.2:53"), true),
            (flow("10.96.0.10", 53, "10.96.0.10:53"), true),
            (flow("10.96.0.11", 53, "10.0.0.2:53"), false),
            (flow("192.168.0.1", 30053, "10.0.0.2:53"), true),
            (flow("192.168.0.2", 30053, "192.168.0.2:30053"), false),
        ];
        for (flow, expected) in cases {
            assert_eq!(is_stale(&flow, &suspects, node), expected, "{flow:?}");
        }
    }
}
