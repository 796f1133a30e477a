//! kube-proxy: Services as packet rules.
//!
//! ```text
//!  informers ──► index (what matters of Services, EndpointSlices, our Node) ──► changed Services
//!                                                                                  │ models
//!                    health checks, stale UDP flows ◄── proxy (sync loop) ──► program (nftables)
//! ```
//!
//! Watch events change the index; the difference between what is programmed and what the models ask for goes to the kernel in
//! one transaction. While one runs, further changes gather for the next. The crate refuses to know how pods get addresses,
//! and never looks at or touches rules that are not its own.

pub mod index;
pub mod program;

pub mod config;
mod environment;
pub mod flows;
mod health;
mod metrics;
pub mod options;
mod proxy;
mod sysctl;
mod watch;

pub use proxy::run;
