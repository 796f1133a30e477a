//! `bootstrap`: makes a Kubernetes cluster out of bare hosts, in phases that can be run again.
//!
//! ```text
//! init:  preflight → runtime → certs → kubeconfig → kubelet → control-plane → … → addons → node → dns
//! join:  preflight → discovery → runtime → kubelet → node
//! upgrade node: runtime → kubelet
//! reset: pods → services → mounts → network → cgroups → files
//! ```
//!
//! Two rules hold everywhere: whatever waits says what it waits for and why it isn't so yet, and every failure carries
//! its cause, the end of the log that explains it, and what mends it. The crate knows nothing of how the components work
//! inside; it knows their flags, their health endpoints and where their logs are.

pub mod api;
pub mod cli;
pub mod cluster;
pub mod control_plane;
pub mod failure;
pub mod files;
pub mod host;
mod kernel;
pub mod kubeconfig;
pub mod kubelet;
pub mod phases;
pub mod pki;
pub mod preflight;
pub mod progress;
pub mod runtime;
pub mod token;
