//! From the model to the kernel. [`Program`] is the seam: nftables is behind it now, iptables and IPVS can follow.

pub mod nftables;

use std::net::IpAddr;

use ipnet::IpNet;
use nfnetlink::Family;

use crate::index::{ServiceModel, ServiceName};

/// How local traffic, which keeps its source, is told from traffic that has to be masqueraded to reach a cluster IP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalDetector {
    /// It is not; nothing is masqueraded for coming from elsewhere.
    #[default]
    None,
    /// Sources in one of these ranges are local (`ClusterCIDR`, `NodeCIDR`).
    Ranges(Vec<IpNet>),
    /// Packets from this bridge are local (`BridgeInterface`).
    Bridge(String),
    /// Packets from interfaces whose names begin so are local (`InterfaceNamePrefix`).
    InterfacePrefix(String),
}

/// Addresses on which node ports answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Every address of this host but loopback.
    All,
    /// Just these.
    Some(Vec<IpAddr>),
}

/// What all rules depend on besides Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Who is local.
    pub local: LocalDetector,
    /// Masquerade everything that goes to a cluster IP.
    pub masquerade_all: bool,
    /// Bit of the packet mark that asks for masquerading.
    pub masquerade_bit: u8,
    /// Where node ports answer.
    pub node_ports: NodePortAddresses,
}

/// A changed Service; `None` when it is gone.
pub type ServiceChange = (ServiceName, Option<ServiceModel>);

/// What a call changed in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything was written anew.
    pub full: bool,
    /// Elements written and deleted.
    pub elements: usize,
}

/// A way to make the kernel send packets where the model says. Calls block; a call that fails leaves the kernel as it was and
/// the next one writes everything anew.
pub trait Program: Send {
    /// The family served.
    fn family(&self) -> Family;

    /// Takes changes over and programs them, as few operations as they need.
    ///
    /// # Errors
    /// [`nfnetlink::Error`] when the kernel refuses.
    fn sync(&mut self, changes: &[ServiceChange]) -> Result<Report, nfnetlink::Error>;

    /// Changes what all rules depend on; takes effect at the next [`Program::sync`].
    fn set_environment(&mut self, environment: Environment);

    /// Whether the kernel still holds what was programmed. When it does not, the next [`Program::sync`] writes everything.
    ///
    /// # Errors
    /// [`nfnetlink::Error`] when the kernel does not answer.
    fn verify(&mut self) -> Result<bool, nfnetlink::Error>;

    /// Whether the kernel holds everything that was asked for, as far as is known.
    fn in_step(&self) -> bool;

    /// Asks that the next [`Program::sync`] writes everything anew.
    fn resync(&mut self);

    /// Removes everything that was ever programmed.
    ///
    /// # Errors
    /// [`nfnetlink::Error`] when the kernel refuses.
    fn cleanup(&mut self) -> Result<(), nfnetlink::Error>;
}
