//! Who is asking, and may they.
//!
//! ```text
//!  TLS peer, headers ──► authn::Authenticator ──► UserInfo ──► authn::impersonation ──► UserInfo
//!                              │ Lookup (live objects)                                   │
//!                              ▼                                                         ▼
//!                  secrets, service accounts, pods, nodes       authz::Authorizer (Node graph, RBAC rules) ──► Verdict
//! ```
//!
//! The crate knows nothing of etcd, of HTTP serving or of the registry. Live objects come through [`Lookup`];
//! the RBAC rules and the Node graph are kept in memory ([`authz::Replica`]) from the changes that the apiserver
//! feeds them. Clocks are arguments wherever a decision depends on time.

pub mod authn;
pub mod authz;
mod lookup;
mod reviewer;
mod user;

pub use lookup::{Lookup, ObjectRef};
pub use reviewer::Reviewer;
pub use user::{UserInfo, names};
