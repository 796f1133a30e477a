//! Cluster IPs and node ports: each is given to one service only, whichever apiserver gives it.
//!
//! An address is taken by creating the IPAddress object of its name (KEP-1880), which etcd grants once. Node ports are bits
//! in one RangeAllocation object, changed by compare-and-swap, in the place and form that upstream uses.

mod cidr;
mod ips;
mod ports;

use storage::{ResourceConfig, Store};

pub use cidr::{Cidr, Family};
pub use ips::Addresses;
pub use ports::{PortRange, Ports};

/// The allocators of a server.
pub struct Allocators {
    /// Cluster IPs.
    pub addresses: Addresses,
    /// Node ports.
    pub ports: Ports,
}

/// A range flag that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// `--service-cluster-ip-range`
    #[error("--service-cluster-ip-range {0:?} is not a CIDR such as 10.96.0.0/16")]
    Cidr(String),
    /// `--service-node-port-range`
    #[error("--service-node-port-range {0:?} is not a range such as 30000-32767")]
    Ports(String),
    /// Storage refuses the allocator's own resource.
    #[error("cannot keep allocated node ports")]
    Storage(#[from] storage::Error),
}

impl Allocators {
    /// Reads the flags.
    ///
    /// # Errors
    /// A flag is malformed.
    pub fn new(store: &Store, ranges: &[String], ports: &str) -> Result<Self, RangeError> {
        let cidrs: Result<Vec<Cidr>, RangeError> = ranges
            .iter()
            .map(|text| Cidr::parse(text).ok_or_else(|| RangeError::Cidr(text.clone())))
            .collect();
        let range = PortRange::parse(ports).ok_or_else(|| RangeError::Ports(ports.to_owned()))?;
        let config = ResourceConfig::new("/registry/ranges", false, "v1", "RangeAllocation");
        Ok(Allocators {
            addresses: Addresses::new(cidrs?),
            ports: Ports::new(store.resource(config)?, range),
        })
    }
}
