//! Which of several ways to make room is best.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cache::PodInfo;

/// One way: remove these pods from this node.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The node.
    pub node: Arc<str>,
    /// The pods, most important first; never empty.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many of them a disruption budget protects.
    pub violations: usize,
}

/// The candidate that hurts least; the first of equals.
pub fn best(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|candidate| {
        let highest = candidate.victims.first().map_or(i32::MIN, |victim| victim.priority);
        // Counted from the lowest priority, so that another victim never lowers the sum.
        let sum: i128 =
            candidate.victims.iter().map(|victim| i128::from(victim.priority) - i128::from(i32::MIN)).sum();
        let important = candidate.victims.iter().filter(|victim| victim.priority == highest);
        let oldest = important.map(|victim| victim.start_time()).min().unwrap_or(Timestamp::MIN);
        (candidate.violations, highest, sum, candidate.victims.len(), Reverse(oldest))
    })
}

/// Sorts the more important pods first: higher priority, then started earlier.
pub fn by_importance(pods: &mut [Arc<PodInfo>]) {
    pods.sort_by_key(|pod| (Reverse(pod.priority), pod.start_time()));
}
