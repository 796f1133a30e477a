//! nftables with shared chains: a Service is nothing but elements of sets and maps.
//!
//! Upstream gives each Service and each endpoint a chain. Here the chains depend only on how many backends there are to
//! choose from (and on affinity), so ten thousand Services share a handful, and a change to one of them is a few
//! hash-table operations, however many others there are:
//!
//! ```text
//!  prerouting, output ─► services:  daddr . proto . port ─ @service-ips ─► goto endpoints-3
//!                          │                                                 │ i = random below 3
//!                          └─ daddr @nodeport-ips ─► nodeports:              └ daddr . proto . port . i ─ @endpoints ─► dnat
//!                                0.0.0.0 . proto . port, the same maps
//! ```
//!
//! A node port is a front end with the unspecified address. Affinity is one dynamic map
//! `client . daddr . proto . port → i`, kept right when numbers move.
//!
//! - [`element`]: what an entry of a set is, and its bytes.
//! - [`plan`]: model of a Service → the elements it needs.
//! - [`state`]: what is programmed, who wants it, and the difference to what is wanted now.
//! - [`affinity`]: notes on clients, kept right across changes and restarts.
//! - [`layout`]: tables, chains, rules and sets that do not depend on Services.

mod affinity;
pub mod element;
mod layout;
pub mod plan;
mod rules;
pub mod state;
mod table;

pub use table::NfTables;

/// Name of our table in both families, the one that upstream's kube-proxy uses.
pub const TABLE: &str = "kube-proxy";

#[cfg(test)]
mod tests;
