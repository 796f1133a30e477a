//! The pod network of a node: CNI configuration, routes to the pods of other nodes, masquerading towards the world.
//!
//! ```text
//!  informer on Nodes ──► plan (pure): our ranges, routes, who is out of reach
//!                           │
//!      ┌────────────────────┼──────────────────────┐
//!      ▼                    ▼                      ▼
//!  cni: conflist,       routes: rtnetlink,     masquerade: nftables,
//!  plug-in binaries     our protocol number    a table of our own
//! ```
//!
//! Pods get their addresses from the CNI plug-ins bridge and host-local, on the bridge of their node; nodes that share a link
//! reach each other's pods through plain routes. The crate refuses to know containers and Services, and touches no route, rule
//! or file that it did not make.

pub mod cni;
mod daemon;
pub mod masquerade;
pub mod options;
pub mod plan;
pub mod routes;
mod sysctl;

pub use daemon::run;
