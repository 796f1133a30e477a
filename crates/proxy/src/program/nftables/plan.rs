//! Which elements a Service needs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::element::{ChainKey, Frontend, Slot, Value};
use crate::index::{External, PortModel, ServiceModel, Traffic};

/// What is programmed now, as far as planning depends on it.
pub trait Programmed {
    /// The backends of a front end in the order of their numbers.
    fn backends(&self, at: &Frontend, local: bool) -> Vec<SocketAddr>;
}

/// The elements of all ports of a Service that are of the family that `programmed` is about; sorted, each slot once.
pub fn elements<'a>(
    ports: impl Iterator<Item = &'a PortModel>,
    programmed: &impl Programmed,
) -> Vec<(Slot, Value)> {
    let mut plan = Plan { programmed, elements: Vec::new() };
    for port in ports {
        plan.port(port);
    }
    plan.elements.sort_unstable_by_key(|(slot, _)| *slot);
    plan.elements.dedup_by_key(|(slot, _)| *slot);
    plan.elements
}

/// The UDP front ends of a model with all backends that any traffic to them may use.
pub fn udp_frontends(model: &ServiceModel) -> Vec<(Frontend, Vec<SocketAddr>)> {
    let mut all = Vec::new();
    for port in model.ports.iter().filter(|port| port.protocol == crate::index::Protocol::Udp) {
        let at = |ip: IpAddr, number: u16| Frontend { ip, protocol: port.protocol, port: number };
        let list = |traffic: &Traffic| match traffic {
            Traffic::To(backends) => backends.clone(),
            Traffic::Reject | Traffic::Drop => Vec::new(),
        };
        let outside = match &port.external {
            External::Cluster(traffic) => list(traffic),
            External::Local { outside, nearby } => [list(outside), list(nearby)].concat(),
        };
        all.extend(port.cluster_ips.iter().map(|ip| (at(*ip, port.port), list(&port.internal))));
        all.extend(port.external_ips.iter().map(|ip| (at(*ip, port.port), outside.clone())));
        all.extend(
            port.node_port.map(|number| (Frontend::node_port(port.family, port.protocol, number), outside)),
        );
    }
    all
}

struct Plan<'a, P> {
    programmed: &'a P,
    elements: Vec<(Slot, Value)>,
}

impl<P: Programmed> Plan<'_, P> {
    fn port(&mut self, port: &PortModel) {
        self.elements.extend(port.on_node.iter().map(|ip| (Slot::Hairpin(*ip), Value::Present)));
        for ip in &port.cluster_ips {
            self.mark(Slot::ClusterIp(*ip));
            let at = Frontend { ip: *ip, protocol: port.protocol, port: port.port };
            self.traffic(at, &port.internal, port.affinity, false);
        }
        for ip in &port.external_ips {
            let at = Frontend { ip: *ip, protocol: port.protocol, port: port.port };
            self.external(at, port);
            if port.guarded_ips.contains(ip) {
                self.guard(at, port);
            }
        }
        if let Some(number) = port.node_port {
            self.external(Frontend::node_port(port.family, port.protocol, number), port);
        }
    }

    fn external(&mut self, at: Frontend, port: &PortModel) {
        match &port.external {
            External::Cluster(traffic) => {
                if matches!(traffic, Traffic::To(_)) {
                    self.mark(Slot::Masquerade(at));
                }
                self.traffic(at, traffic, port.affinity, false);
            }
            External::Local { outside, nearby } => {
                self.mark(Slot::LocalPolicy(at));
                self.traffic(at, outside, port.affinity, true);
                // What `outside` rejects or drops is decided already; `nearby` only adds backends.
                if matches!(nearby, Traffic::To(_)) {
                    self.traffic(at, nearby, port.affinity, false);
                }
            }
        }
    }

    /// The kernel refuses ranges that overlap, so they are merged.
    fn guard(&mut self, at: Frontend, port: &PortModel) {
        self.mark(Slot::Guarded(at));
        let mut ranges = port.source_ranges.clone();
        ranges.extend(port.guard_admits_node.then(|| IpNet::from(at.ip)));
        for range in IpNet::aggregate(&ranges) {
            self.mark(Slot::Admitted(at, range));
        }
    }

    fn traffic(&mut self, at: Frontend, traffic: &Traffic, affinity: Option<u32>, local: bool) {
        match traffic {
            Traffic::Reject => self.mark(Slot::Reject(at)),
            Traffic::Drop => self.mark(Slot::Drop(at)),
            Traffic::To(backends) => {
                let count = backends.len() as u32;
                let chain = ChainKey { node_port: at.is_node_port(), local, count, affinity };
                let service = if local { Slot::LocalService(at) } else { Slot::Service(at) };
                self.elements.push((service, Value::Chain(chain)));
                let ordered = keep_places(&self.programmed.backends(&at, local), backends);
                for (number, backend) in (0..).zip(ordered) {
                    let slot =
                        if local { Slot::LocalEndpoint(at, number) } else { Slot::Endpoint(at, number) };
                    self.elements.push((slot, Value::Backend(backend)));
                }
            }
        }
    }

    fn mark(&mut self, slot: Slot) {
        self.elements.push((slot, Value::Present));
    }
}

/// Orders `wanted` so that as many as possible keep the number they have in `before`: newcomers take the places of those that
/// are gone, and when fewer remain the last ones fill the gaps. A change of one backend is a change of one or two elements.
fn keep_places(before: &[SocketAddr], wanted: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut places: Vec<Option<SocketAddr>> =
        before.iter().map(|backend| wanted.contains(backend).then_some(*backend)).collect();
    places.resize(places.len().max(wanted.len()), None);
    let mut newcomers = wanted.iter().filter(|backend| !before.contains(backend));
    for place in places.iter_mut().filter(|place| place.is_none()) {
        *place = newcomers.next().copied();
    }
    // What lies beyond the new length moves down into the gaps that are left.
    let mut beyond = places.split_off(wanted.len()).into_iter().flatten();
    places.into_iter().filter_map(|place| place.or_else(|| beyond.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[u16]) -> Vec<SocketAddr> {
        list.iter().map(|port| SocketAddr::from(([10, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn backends_keep_their_numbers() {
        let cases: &[(&[u16], &[u16], &[u16])] = &[
            (&[], &[1, 2, 3], &[1, 2, 3]),
            (&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]),
            (&[1, 2, 3], &[1, 3], &[1, 3]),
            (&[1, 2, 3], &[2, 3], &[3, 2]),
            (&[1, 2, 3], &[0, 2, 3], &[0, 2, 3]),
            (&[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3, 4]),
            (&[1, 2, 3, 4], &[4], &[4]),
            (&[1, 2, 3, 4], &[4, 9], &[9, 4]),
        ];
        for (before, wanted, expected) in cases {
            let got = keep_places(&addresses(before), &addresses(wanted));
            assert_eq!(got, addresses(expected), "{before:?} -> {wanted:?}");
        }
    }
}
