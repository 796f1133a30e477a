//! `horizontal-pod-autoscaler-controller`: sets the replicas of a scalable object by what its pods use.
//!
//! ```text
//!  scale ──► proposal (one per metric, the largest counts) ──► limits (bounds, policies, stabilization) ──► scale
//!               ▲ metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io
//! ```

mod controller;
mod limits;
mod metrics;
mod proposal;
mod replicas;
mod status;
mod target;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use controller::run;

/// The flags of the controller.
#[derive(Clone, Debug)]
struct Tuning {
    period: Duration,
    /// How long recommendations hold scaling down back, for autoscalers that do not say.
    stabilization: Duration,
    /// Relative deviation from the target that does not matter, for autoscalers that do not say.
    tolerance: f64,
    /// How long after a pod's start its CPU use may be of another kind.
    initialization: Duration,
    /// Changes of readiness this soon after the start count as the first.
    readiness_delay: Duration,
}
