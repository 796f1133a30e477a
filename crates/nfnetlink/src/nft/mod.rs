//! nftables: transactions of tables, chains, rules, sets and elements.

mod batch;
mod expr;
mod query;

pub use batch::{Batch, Chain, Data, Element, Hook, HookType, Set, SetFlags, Verdict};
pub use expr::{Cmp, CtKey, Expr, FibSide, Header, MetaKey, Reg, Reject};
pub use query::Stored;

/// Data type numbers of nft's language, which `nft list` needs to print keys; the kernel does not look at them.
/// Concatenations shift each type by six bits.
pub mod types {
    /// `ipv4_addr`.
    pub const IPV4: u32 = 7;
    /// `ipv6_addr`.
    pub const IPV6: u32 = 8;
    /// `inet_proto`.
    pub const PROTOCOL: u32 = 12;
    /// `inet_service`.
    pub const PORT: u32 = 13;
    /// `mark`, a number in host byte order.
    pub const MARK: u32 = 19;
}
