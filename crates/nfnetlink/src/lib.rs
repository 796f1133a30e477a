//! nftables transactions and conntrack entries over `NETLINK_NETFILTER`.
//!
//! `kube-proxy` and the network agent run in images that hold nothing but their own binary, and a change to one Service among
//! ten thousand has to reach the kernel in about a millisecond. The `nft` tool meets neither: it is a second program with
//! its libraries, and it reads back chains and sets before each change. So the few messages that these daemons need are
//! encoded here; what they make still reads well under `nft list ruleset`.
//!
//! ```text
//!  nft::Batch (tables, chains, rules, sets, elements) ──► Socket::commit ──► kernel: all of it or nothing
//!  conntrack::Flow                                    ◄── Socket dump / delete
//! ```
//!
//! The crate knows nothing of Services or nodes, keeps no state beyond the socket, and decides nothing.
//!
//! Formats: netlink(7), `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink_conntrack.h`.

pub mod conntrack;
pub mod nft;
mod socket;
mod wire;

pub use socket::{Error, Socket};

/// Layer-3 family of a table or a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4, `ip` in nft's language.
    V4,
    /// IPv6, `ip6` in nft's language.
    V6,
}

impl Family {
    /// The `NFPROTO_*` number, equal to `AF_INET` and `AF_INET6`.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    /// The family of an address.
    pub const fn of(ip: std::net::IpAddr) -> Self {
        match ip {
            std::net::IpAddr::V4(_) => Self::V4,
            std::net::IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bytes of an address.
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}
