//! What every Coxswain daemon shares, so that a daemon's `main.rs` is a dozen lines and all of them behave alike.
//!
//! ```text
//!  argv ──► flags ──► Options ──► run(): log, runtime, signals ──► daemon's async main(Options, Context)
//!                                                                      │
//!              serve (TLS, HTTP/1.1 + HTTP/2) ◄── health, metrics ◄────┘
//! ```
//!
//! The crate knows nothing of the Kubernetes API beyond names of flags, feature gates and metrics: it does not connect to
//! an apiserver (that is `client`) and it decides nothing about who may call what.

pub mod config;
pub mod duration;
pub mod endpoints;
pub mod exit;
pub mod features;
pub mod flags;
pub mod health;
pub mod log;
pub mod metrics;
pub mod pages;
mod run;
pub mod serve;
pub mod signal;
pub mod version;

pub use run::{Context, Daemon, Options, run};
pub use tokio_util::sync::CancellationToken;
