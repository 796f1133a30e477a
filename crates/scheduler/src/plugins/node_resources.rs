//! What the plugins that score use of resources share.

use crate::cache::{NodeInfo, PodInfo, is_extended};
use crate::config::{ArgsError, ResourceWeight};

/// Resources with their weights.
#[derive(Clone, Debug)]
pub struct Weights(pub Vec<ResourceWeight>);

/// One resource of one node.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// What the node's pods and the new one ask for.
    pub wanted: i64,
    /// What the node has, more than 0.
    pub all: i64,
}

impl Weights {
    /// Checks weights.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn new(plugin: &str, resources: Vec<ResourceWeight>) -> Result<Self, ArgsError> {
        match resources.iter().find(|resource| !(1..=100).contains(&resource.weight)) {
            None => Ok(Self(resources)),
            Some(resource) => Err(ArgsError::Value {
                plugin: plugin.to_owned(),
                problem: format!("weight of resource {} must be between 1 and 100", resource.name),
            }),
        }
    }

    /// The weighted mean of `score` over the resources that the node has, rounded down.
    pub fn mean(&self, pod: &PodInfo, node: &NodeInfo, score: impl Fn(Amounts) -> i64) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for resource in &self.0 {
            if let Some(amounts) = with_defaults(&resource.name, pod, node) {
                sum += resource.weight * score(amounts);
                weights += resource.weight;
            }
        }
        if weights == 0 { 0 } else { sum / weights }
    }

    /// The same, rounded to the nearest, over the resources with a score above 0.
    pub fn rounded_mean(&self, pod: &PodInfo, node: &NodeInfo, score: impl Fn(Amounts) -> i64) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for resource in &self.0 {
            let score = with_defaults(&resource.name, pod, node).map_or(0, &score);
            if score > 0 {
                sum += resource.weight * score;
                weights += resource.weight;
            }
        }
        if weights == 0 { 0 } else { (2 * sum + weights) / (2 * weights) }
    }
}

/// A resource with defaults for containers that request none; `None` when it does not count for this pod and node.
fn with_defaults(name: &str, pod: &PodInfo, node: &NodeInfo) -> Option<Amounts> {
    let (used, wanted) = match name {
        "cpu" => (node.nonzero_cpu, pod.requests.nonzero_cpu),
        "memory" => (node.nonzero_memory, pod.requests.nonzero_memory),
        _ => return exact(name, pod, node),
    };
    let all = node.allocatable.amount(name);
    (all > 0).then_some(Amounts { wanted: used + wanted, all })
}

/// A resource as requested; `None` when it does not count for this pod and node.
pub fn exact(name: &str, pod: &PodInfo, node: &NodeInfo) -> Option<Amounts> {
    let wanted = pod.requests.exact.amount(name);
    // What the pod does not ask for says nothing about scarce devices.
    if wanted == 0 && (is_extended(name) || name.starts_with("hugepages-")) {
        return None;
    }
    let all = node.allocatable.amount(name);
    (all > 0).then_some(Amounts { wanted: node.requested.amount(name) + wanted, all })
}
