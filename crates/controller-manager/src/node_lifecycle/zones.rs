//! How fast pods may be evicted: when much of a zone is silent, the fault is rather ours than the nodes'.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::Node;
use tokio::time::{Duration, Instant};

use super::plan::ready_status;
use crate::common::selector;

/// When a zone counts as disrupted, and how fast its nodes may be emptied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Evictions of whole nodes per second in a healthy zone.
    pub rate: f64,
    /// The same in a large zone where many nodes are silent.
    pub slow_rate: f64,
    /// Zones up to this size are not touched while many nodes are silent.
    pub large: usize,
    /// Share of silent nodes from which on a zone is disrupted.
    pub threshold: f64,
}

/// How a zone is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Most nodes are ready.
    Normal,
    /// Many are not.
    Partial,
    /// None is.
    Full,
}

/// The zone a node says it is in.
pub(super) fn zone(node: &Node) -> String {
    let labels = selector::labels(&node.metadata);
    let part = |key: &str| labels.get(key).cloned().unwrap_or_default();
    format!("{}:{}", part("topology.kubernetes.io/region"), part("topology.kubernetes.io/zone"))
}

/// State and size of every zone.
pub(super) fn states(nodes: &[Arc<Node>], policy: Policy) -> HashMap<String, (State, usize)> {
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for node in nodes {
        let (ready, silent) = counts.entry(zone(node)).or_default();
        *(if ready_status(node) == "True" { ready } else { silent }) += 1;
    }
    let state = |(ready, silent): (usize, usize)| {
        let size = ready + silent;
        let state = if ready == 0 && silent > 0 {
            State::Full
        } else if silent > 2 && silent as f64 / size as f64 >= policy.threshold {
            State::Partial
        } else {
            State::Normal
        };
        (state, size)
    };
    counts.into_iter().map(|(zone, count)| (zone, state(count))).collect()
}

/// The evictions per second allowed in a zone; zero when all is dark, because then it is us who cannot see.
pub(super) fn rate(states: &HashMap<String, (State, usize)>, zone: &str, policy: Policy) -> f64 {
    if states.values().all(|(state, _)| *state == State::Full) {
        return 0.0;
    }
    match states.get(zone) {
        Some((State::Partial, size)) if *size > policy.large => policy.slow_rate,
        Some((State::Partial, _)) => 0.0,
        _ => policy.rate,
    }
}

/// When each zone may lose its next node.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    next: HashMap<String, Instant>,
}

impl Limiter {
    /// Takes a turn, or says how long to wait for one.
    pub(super) fn take(&mut self, zone: &str, rate: f64, now: Instant) -> Result<(), Duration> {
        if rate <= 0.0 {
            return Err(Duration::from_secs(5));
        }
        match self.next.get(zone) {
            Some(next) if *next > now => Err(*next - now),
            _ => {
                self.next.insert(zone.to_owned(), now + Duration::from_secs_f64(1.0 / rate));
                Ok(())
            }
        }
    }
}
