//! How far the caches have come, and waiting for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::error::{Error, Result};
use crate::etcd::Etcd;

/// The revision up to which all caches are complete, and who waits for a later one. Each waiter is woken once, by the
/// advance that it waits for.
#[derive(Default)]
pub(crate) struct Progress {
    reached: AtomicI64,
    /// A revision that etcd is known to have.
    expected: AtomicI64,
    waiters: Mutex<BTreeMap<i64, Vec<oneshot::Sender<()>>>>,
    /// Tells the feed that someone waits and no event has come.
    pub nudge: Notify,
}

impl Progress {
    /// The revision reached.
    pub fn reached(&self) -> i64 {
        self.reached.load(Ordering::Acquire)
    }

    /// States that everything up to a revision is applied. Never goes back, except through [`Progress::reset`].
    pub fn advance(&self, revision: i64) {
        let mut waiters = self.waiters.lock();
        if revision <= self.reached.load(Ordering::Relaxed) {
            return;
        }
        self.reached.store(revision, Ordering::Release);
        let later = waiters.split_off(&(revision + 1));
        let woken = std::mem::replace(&mut *waiters, later);
        drop(waiters);
        for waiter in woken.into_values().flatten() {
            // A waiter that gave up has dropped its end.
            waiter.send(()).ok();
        }
    }

    /// States the revision of an etcd that lost or replaced its data.
    pub fn reset(&self, revision: i64) {
        let _waiters = self.waiters.lock();
        self.reached.store(revision, Ordering::Release);
        self.expected.store(revision, Ordering::Release);
    }

    /// States that etcd has a revision, so that the caches can be brought there.
    pub fn expect(&self, revision: i64) {
        self.expected.fetch_max(revision, Ordering::AcqRel);
    }

    /// Whether someone waits while etcd is known to be further.
    pub fn behind(&self) -> bool {
        self.reached() < self.expected.load(Ordering::Acquire)
            && self.waiters.lock().values().flatten().any(|waiter| !waiter.is_closed())
    }

    /// Returns once a revision is reached.
    pub async fn wait(&self, revision: i64, timeout: Duration) -> Result<()> {
        let reached = self.enqueue(revision);
        let Some(mut reached) = reached else {
            return Ok(());
        };
        let patience = EVENT_PATIENCE.min(timeout);
        if let Ok(outcome) = tokio::time::timeout(patience, &mut reached).await {
            return outcome.map_err(|_| self.too_large(revision));
        }
        // No event brought the caches there so far: perhaps keys outside the prefix moved the revision.
        self.nudge.notify_one();
        match tokio::time::timeout(timeout - patience, reached).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.too_large(revision)),
        }
    }

    fn enqueue(&self, revision: i64) -> Option<oneshot::Receiver<()>> {
        if self.reached() >= revision {
            return None;
        }
        let mut waiters = self.waiters.lock();
        if self.reached.load(Ordering::Relaxed) >= revision {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiters.entry(revision).or_default().push(sender);
        Some(receiver)
    }

    fn too_large(&self, requested: i64) -> Error {
        Error::TooLargeRevision { requested, current: self.reached() }
    }
}

/// An event that is on its way arrives sooner than this.
const EVENT_PATIENCE: Duration = Duration::from_millis(2);

/// Linearizable reads of etcd's revision, shared by all who ask at the same time. A caller may only use a read that
/// began after the call, so those who come while one is under way share the next.
#[derive(Default)]
pub(crate) struct RevisionReader {
    callers: Mutex<Vec<oneshot::Sender<Result<i64>>>>,
    wake: Notify,
}

impl RevisionReader {
    /// The present revision of etcd.
    pub async fn read(&self) -> Result<i64> {
        let (sender, receiver) = oneshot::channel();
        self.callers.lock().push(sender);
        self.wake.notify_one();
        receiver.await.unwrap_or(Err(Error::Unavailable { attempted: "the storage shut down", source: None }))
    }

    /// Serves the callers; runs as long as the store.
    pub async fn run(&self, etcd: &Etcd) {
        loop {
            self.wake.notified().await;
            let callers = std::mem::take(&mut *self.callers.lock());
            if callers.is_empty() {
                continue;
            }
            let outcome = etcd.revision().await;
            let failure = "reading its current revision";
            let mut first = None;
            for caller in callers {
                let answer = match &outcome {
                    Ok(revision) => Ok(*revision),
                    Err(_) if first.is_none() => {
                        first = Some(caller);
                        continue;
                    }
                    Err(_) => Err(Error::Unavailable { attempted: failure, source: None }),
                };
                // A caller that gave up has dropped its end.
                caller.send(answer).ok();
            }
            if let (Some(caller), Err(error)) = (first, outcome) {
                // The one error with its cause goes to the first caller; see above for a dropped end.
                caller.send(Err(error)).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_by_the_revision_they_wait_for() {
        let progress = std::sync::Arc::new(Progress::default());
        progress.advance(5);
        progress.wait(5, Duration::ZERO).await.unwrap();
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.wait(8, Duration::from_secs(10)).await }
        });
        progress.nudge.notified().await;
        assert!(!progress.behind());
        progress.expect(8);
        assert!(progress.behind());
        progress.advance(7);
        assert!(!waiting.is_finished());
        progress.advance(9);
        waiting.await.unwrap().unwrap();
        assert!(!progress.behind());
        let error = progress.wait(11, Duration::from_millis(5)).await.unwrap_err();
        assert!(matches!(error, Error::TooLargeRevision { requested: 11, current: 9 }));
        assert!(!progress.behind());
    }
}
