//! `kube-controller-manager`: the built-in controllers, one folder each.
//!
//! ```text
//!  manager (table of controllers, leader election, /healthz /metrics)
//!     │ starts each with a Context
//!     ▼
//!  <controller>/controller.rs: informers → keys → queue → reconcile(key)
//!                                                            │ snapshot from caches
//!                                                            ▼
//!  <controller>/plan.rs: plan(snapshot, now) -> actions   (pure: no client, no clock)
//!                                                            │
//!                                                            ▼ act: writes through client::Writer
//! ```
//!
//! The crate never lists or watches by itself, and its controllers talk to each other only through the API.

pub mod common;
pub mod context;
pub mod manager;
pub mod options;

mod attach_detach;
mod autoscaling;
mod bootstrap;
mod certificates;
mod clusterrole_aggregation;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslice_mirroring;
mod ephemeral_volume;
mod garbage_collector;
mod job;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod node_ttl;
mod pod_gc;
mod policy_status;
mod replicaset;
mod resource_claim;
mod resource_quota;
mod root_ca;
mod service_cidr;
mod serviceaccount;
mod statefulset;
mod taint_eviction;
mod ttl_after_finished;
mod volume_binder;
mod volume_expand;
mod volume_protection;
