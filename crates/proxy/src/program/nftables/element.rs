//! Entries of sets and maps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nfnetlink::Family;

use crate::index::Protocol;

/// What a client connects to. A node port has the unspecified address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frontend {
    /// Address.
    pub ip: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

impl Frontend {
    /// A node port of the family.
    pub fn node_port(family: Family, protocol: Protocol, port: u16) -> Self {
        Self { ip: unspecified(family), protocol, port }
    }

    /// Whether this is a node port.
    pub fn is_node_port(&self) -> bool {
        self.ip.is_unspecified()
    }
}

/// The address that stands for all addresses of the node.
pub fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A place in a set: at most one element of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// A cluster IP, whatever the port.
    ClusterIp(IpAddr),
    /// A backend on this node, which may be its own client.
    Hairpin(IpAddr),
    /// A front end with backends.
    Service(Frontend),
    /// A backend of a front end, by number.
    Endpoint(Frontend, u32),
    /// As `Service`, for traffic from outside under policy Local.
    LocalService(Frontend),
    /// As `Endpoint`, for traffic from outside under policy Local.
    LocalEndpoint(Frontend, u32),
    /// A front end whose traffic hides its source.
    Masquerade(Frontend),
    /// A front end under policy Local; only this node's own traffic hides its source.
    LocalPolicy(Frontend),
    /// A front end without endpoints.
    Reject(Frontend),
    /// A front end that has endpoints, but none that it may use.
    Drop(Frontend),
    /// A front end that only some may use.
    Guarded(Frontend),
    /// One of those.
    Admitted(Frontend, IpNet),
}

/// What a map has for a slot; sets have [`Value::Present`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing more to say.
    Present,
    /// The chain that chooses a backend.
    Chain(ChainKey),
    /// A backend.
    Backend(SocketAddr),
}

/// A chain that chooses among `count` backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainKey {
    /// For node ports, so that the address looked up is the unspecified one.
    pub node_port: bool,
    /// From the map of this node's backends.
    pub local: bool,
    /// Backends, at least one.
    pub count: u32,
    /// Seconds that a client sticks to its backend.
    pub affinity: Option<u32>,
}

impl fmt::Display for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node_port = if self.node_port { "nodeport-" } else { "" };
        let local = if self.local { "local-" } else { "" };
        write!(f, "{node_port}{local}endpoints-{}", self.count)?;
        self.affinity.map_or(Ok(()), |seconds| write!(f, "-affinity-{seconds}"))
    }
}

/// The names of the sets that slots live in, in the order in which they are written.
pub const SETS: [&str; 12] = [
    "cluster-ips",
    "hairpin-ips",
    "service-ips",
    "endpoints",
    "local-service-ips",
    "local-endpoints",
    "masquerade-ips",
    "local-policy-ips",
    "reject-ips",
    "drop-ips",
    "guarded-ips",
    "admitted-sources",
];

impl Slot {
    /// Position of the slot's set in [`SETS`].
    pub fn set(&self) -> usize {
        match self {
            Self::ClusterIp(_) => 0,
            Self::Hairpin(_) => 1,
            Self::Service(_) => 2,
            Self::Endpoint(..) => 3,
            Self::LocalService(_) => 4,
            Self::LocalEndpoint(..) => 5,
            Self::Masquerade(_) => 6,
            Self::LocalPolicy(_) => 7,
            Self::Reject(_) => 8,
            Self::Drop(_) => 9,
            Self::Guarded(_) => 10,
            Self::Admitted(..) => 11,
        }
    }

    /// Appends the key's bytes; for a range also the bytes of its end, to `end`.
    pub fn put_key(&self, key: &mut Vec<u8>, end: &mut Vec<u8>) {
        match self {
            Self::ClusterIp(ip) => put_address(key, *ip),
            Self::Hairpin(ip) => {
                put_address(key, *ip);
                put_address(key, *ip);
            }
            Self::Service(at)
            | Self::LocalService(at)
            | Self::Masquerade(at)
            | Self::LocalPolicy(at)
            | Self::Reject(at)
            | Self::Drop(at)
            | Self::Guarded(at) => put_frontend(key, at),
            Self::Endpoint(at, number) | Self::LocalEndpoint(at, number) => {
                put_frontend(key, at);
                key.extend_from_slice(&number.to_ne_bytes());
            }
            Self::Admitted(at, range) => {
                put_frontend(key, at);
                put_address(key, range.network());
                put_frontend(end, at);
                put_address(end, range.broadcast());
            }
        }
    }

    /// The front end of a slot that a comment helps to recognize.
    pub fn frontend(&self) -> Option<&Frontend> {
        match self {
            Self::Service(at) | Self::LocalService(at) | Self::Reject(at) | Self::Drop(at) => Some(at),
            _ => None,
        }
    }
}

/// Appends an address.
pub fn put_address(bytes: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
}

/// Appends a port, padded to four bytes.
pub fn put_port(bytes: &mut Vec<u8>, port: u16) {
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&[0; 2]);
}

/// Appends address, protocol and port.
pub fn put_frontend(bytes: &mut Vec<u8>, at: &Frontend) {
    put_address(bytes, at.ip);
    bytes.extend_from_slice(&[at.protocol.number(), 0, 0, 0]);
    put_port(bytes, at.port);
}

/// Appends a backend.
pub fn put_backend(bytes: &mut Vec<u8>, backend: SocketAddr) {
    put_address(bytes, backend.ip());
    put_port(bytes, backend.port());
}

/// Reads a front end, and the number behind it where there is one.
pub fn parse_frontend(family: Family, bytes: &[u8]) -> Option<(Frontend, Option<u32>)> {
    let len = family.address_len();
    let protocol = match bytes.get(len)? {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        _ => return None,
    };
    let at = Frontend {
        ip: parse_address(bytes.get(..len)?)?,
        protocol,
        port: parse_port(bytes.get(len + 4..)?)?,
    };
    Some((at, bytes.get(len + 8..).and_then(parse_number)))
}

/// Reads a backend.
pub fn parse_backend(family: Family, bytes: &[u8]) -> Option<SocketAddr> {
    let len = family.address_len();
    Some(SocketAddr::new(parse_address(bytes.get(..len)?)?, parse_port(bytes.get(len..)?)?))
}

/// Reads a number in host byte order.
pub fn parse_number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn parse_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

fn parse_port(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}
