//! From the configuration, the Node and this host's addresses to what all rules depend on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Configuration;
use crate::index::NodeInfo;
use crate::program::{Environment, LocalDetector, NodePortAddresses};

/// The parsed configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--bind-address`.
    pub bind_address: IpAddr,
    detector: Detector,
    masquerade_all: bool,
    masquerade_bit: u8,
    node_ports: Vec<NodePortRange>,
    /// This host's addresses, when node ports depend on them.
    addresses: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug)]
enum Detector {
    Fixed(LocalDetector),
    NodeRanges,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodePortRange {
    Primary,
    Range(IpNet),
}

impl Settings {
    /// Parses a configuration that `options` has checked; what does not parse counts as absent.
    pub fn of(configuration: &Configuration) -> Self {
        let ranges =
            configuration.cluster_cidr.split(',').filter_map(|range| range.trim().parse().ok()).collect();
        let detector = match configuration.detect_local_mode.as_str() {
            "NodeCIDR" => Detector::NodeRanges,
            "BridgeInterface" => {
                Detector::Fixed(LocalDetector::Bridge(configuration.detect_local.bridge_interface.clone()))
            }
            "InterfaceNamePrefix" => Detector::Fixed(LocalDetector::InterfacePrefix(
                configuration.detect_local.interface_name_prefix.clone(),
            )),
            _ => Detector::Fixed(LocalDetector::Ranges(ranges)),
        };
        let node_ports = configuration.node_port_addresses.iter().filter_map(|text| match text.as_str() {
            "primary" => Some(NodePortRange::Primary),
            text => text.parse().ok().map(NodePortRange::Range),
        });
        let mut node_ports: Vec<_> = node_ports.collect();
        if node_ports.is_empty() {
            // Upstream's default of the nftables mode.
            node_ports.push(NodePortRange::Primary);
        }
        let mut settings = Self {
            bind_address: configuration.bind_address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
            detector,
            masquerade_all: configuration.nftables.masquerade_all,
            masquerade_bit: configuration.nftables.masquerade_bit.unwrap_or(14),
            node_ports,
            addresses: BTreeSet::new(),
        };
        settings.read_addresses();
        settings
    }

    /// Reads this host's addresses again.
    pub fn read_addresses(&mut self) {
        match nix::ifaddrs::getifaddrs() {
            Ok(addresses) => {
                self.addresses = addresses
                    .filter_map(|interface| {
                        let address = interface.address?;
                        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
                        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
                    })
                    .filter(|ip| !ip.is_loopback())
                    .collect();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read this host's addresses; node ports stay where they are")
            }
        }
    }

    /// What rules depend on, for the node as it is now.
    pub fn environment(&self, node: &NodeInfo) -> Environment {
        let everywhere =
            |range: &NodePortRange| matches!(range, NodePortRange::Range(range) if range.prefix_len() == 0);
        let node_ports = if self.node_ports.iter().any(everywhere) {
            NodePortAddresses::All
        } else {
            NodePortAddresses::Some(self.node_port_addresses(node))
        };
        Environment {
            local: match &self.detector {
                Detector::Fixed(detector) => detector.clone(),
                Detector::NodeRanges => LocalDetector::Ranges(node.pod_ranges.clone()),
            },
            masquerade_all: self.masquerade_all,
            masquerade_bit: self.masquerade_bit,
            node_ports,
        }
    }

    /// Addresses on which node ports answer, sorted.
    pub fn node_port_addresses(&self, node: &NodeInfo) -> Vec<IpAddr> {
        let mut all = BTreeSet::new();
        for range in &self.node_ports {
            match range {
                NodePortRange::Primary if !self.bind_address.is_unspecified() => {
                    all.insert(self.bind_address);
                }
                NodePortRange::Primary => {
                    all.extend([node.primary(false), node.primary(true)].into_iter().flatten())
                }
                NodePortRange::Range(range) => {
                    all.extend(self.addresses.iter().filter(|ip| range.contains(*ip)))
                }
            }
        }
        all.into_iter().collect()
    }
}
