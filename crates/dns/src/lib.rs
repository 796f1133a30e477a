//! Cluster DNS: the names of Services and their endpoints, per the Kubernetes DNS specification 1.1.0.
//!
//! ```text
//!  informers ──► Index ──► resolve (pure: question → records, or "not ours")
//!                             ▲                       │ not ours, or an alias that leads outside
//!  UDP, TCP ──► server ──► answer ────────────────────┴──► forward ──► upstream resolvers
//!                (limits, EDNS, truncation)                (cache, one flight per question)
//! ```
//!
//! Messages are hickory's; what is written here is the mapping from the API's objects to records. The crate refuses to know zone
//! files, transfers, DNSSEC signing and recursion: what it does not hold goes to resolvers that do that.

mod dns;
pub mod forward;
pub mod index;
pub mod message;
mod metrics;
pub mod options;
pub mod resolve;
pub mod server;

pub use dns::run;
