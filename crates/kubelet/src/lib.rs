//! kubelet: runs the pods of one node through CRI.
//!
//! ```text
//!  sources (API, files) ──► pod_worker (one task per pod) ──► steps ──► cri, volumes, cgroups, images, probes
//!                                 ▲        │
//!  cri::relist (PLEG) ────────────┘        └──► status ──► API server
//!  node: registration, status, lease       server: 10250 (logs, exec, stats), 10248 (health)
//! ```
//!
//! The crate refuses to know: how pods are scheduled, what controllers do, how services are routed, how a pod's network is made
//! (the runtime and its CNI plug-ins do that). No part depends on a "kubelet" type; [`kubelet`] only wires them.

pub mod api;
pub mod cgroups;
pub mod config;
pub mod cri;
pub mod events;
pub mod eviction;
pub mod host;
pub mod images;
pub mod kubelet;
pub mod logs;
pub mod node;
pub mod online;
pub mod paths;
pub mod pod;
pub mod pod_worker;
pub mod probes;
pub mod report;
pub mod server;
pub mod sources;
pub mod status;
pub mod steps;
pub mod volumes;
