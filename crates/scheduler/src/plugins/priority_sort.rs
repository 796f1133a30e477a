//! PrioritySort: pods with higher priority first, then those that wait longest.

use std::sync::Arc;

use crate::cache::PodInfo;
use crate::framework::{Plugin, QueueSort};

/// The plugin.
pub struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }
    fn queue_sort(self: Arc<Self>) -> Option<Arc<dyn QueueSort>> {
        Some(self)
    }
}

impl QueueSort for PrioritySort {
    fn rank(&self, pod: &PodInfo) -> i64 {
        i64::from(pod.priority)
    }
}
