//! How many requests may run at once: reads and writes apart, long-running ones not counted.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::RequestInfo;

/// The two limits.
pub struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl InFlight {
    /// `--max-requests-inflight` and `--max-mutating-requests-inflight`; 0 is no limit.
    pub fn new(reads: usize, writes: usize) -> Self {
        let semaphore = |n| Arc::new(Semaphore::new(if n == 0 { Semaphore::MAX_PERMITS } else { n }));
        InFlight { reads: semaphore(reads), writes: semaphore(writes) }
    }

    /// Takes a slot for as long as the result lives; long-running requests need none. `None` when all are taken.
    pub(super) fn enter(&self, info: &RequestInfo) -> Option<Option<OwnedSemaphorePermit>> {
        if is_long_running(info) {
            return Some(None);
        }
        let semaphore = match info.verb.as_str() {
            "get" | "list" => &self.reads,
            _ => &self.writes,
        };
        Arc::clone(semaphore).try_acquire_owned().ok().map(Some)
    }
}

/// Whether a request may go on for as long as both sides want.
pub(super) fn is_long_running(info: &RequestInfo) -> bool {
    info.verb == "watch"
        || matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy")
}
