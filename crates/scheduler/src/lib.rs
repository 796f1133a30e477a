//! `kube-scheduler`: finds a node for every pod that has none.
//!
//! ```text
//!  informers ──► inputs ──► cache (nodes, pods, indexes) ──► schedule(pod, &Snapshot)  pure: no client, no clock
//!                   │                                             │ node, or a sentence that says why not
//!                   └────► queue ◄── event hints                  ▼
//!                            ▲                          assume ──► bind (many at once) ──► pods/binding
//!                            └──────── failed: forget, condition, event, back-off
//! ```
//!
//! One task owns cache and queue, so nothing is locked and a snapshot is a reference. The crate does not know how a pod is
//! run; all it writes are bindings, conditions of pods, deletions of victims, claims it binds, and events.

pub mod cache;
pub mod config;
pub mod framework;
pub mod options;
pub mod queue;
pub mod schedule;

mod bind;
mod inputs;
mod metrics;
mod plugins;
mod preemption;
mod process;
mod scheduler;

pub use process::start;
