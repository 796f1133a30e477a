//! A work queue of keys: de-duplicating, delaying, rate limited per key, one worker per key at a time.
//!
//! A key that is added while it is being worked on is queued again when that work is done, so a worker always sees the newest
//! state. Completion ([`Queue::done`]) may be told late: [`crate::controller`] does so until the caches have seen the
//! worker's own writes, which is all there is to read-your-writes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use component::metrics;
use parking_lot::Mutex;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};
use tokio::sync::Notify;
use tokio::time::Instant;

/// First delay after a failure.
pub const BACKOFF_MIN: Duration = Duration::from_millis(5);
/// Longest delay after failures.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1000);

/// What may be queued.
pub trait QueueKey: Clone + Debug + Eq + Hash + Send + Sync + 'static {}
impl<T: Clone + Debug + Eq + Hash + Send + Sync + 'static> QueueKey for T {}

/// The queue. Cheap to clone; clones share it.
pub struct Queue<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<T> {
    name: &'static str,
    backoff_max: Duration,
    state: Mutex<State<T>>,
    wake: Notify,
}

struct State<T> {
    ready: VecDeque<T>,
    /// Keys that wait or have to wait again: when they were added.
    dirty: HashMap<T, Instant>,
    processing: HashMap<T, Instant>,
    delayed: BTreeMap<(Instant, u64), T>,
    due: HashMap<T, (Instant, u64)>,
    failures: HashMap<T, u32>,
    sequence: u64,
    closed: bool,
}

impl<T: QueueKey> Queue<T> {
    /// An empty queue; `name` labels its metrics.
    pub fn new(name: &'static str) -> Self {
        Self::with_backoff(name, BACKOFF_MAX)
    }

    /// As [`Queue::new`], with a different longest delay after failures.
    pub fn with_backoff(name: &'static str, backoff_max: Duration) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashMap::new(),
            processing: HashMap::new(),
            delayed: BTreeMap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            sequence: 0,
            closed: false,
        };
        Self { inner: Arc::new(Inner { name, backoff_max, state: Mutex::new(state), wake: Notify::new() }) }
    }

    /// Queues a key now, unless it waits already.
    pub fn add(&self, key: T) {
        let mut state = self.inner.state.lock();
        if state.add(key) {
            METRICS.adds.with_label_values(&[self.inner.name]).inc();
        }
        self.record_depth(&state);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// Queues a key after `delay`; the earliest of several delays counts.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        let mut state = self.inner.state.lock();
        if state.closed {
            return;
        }
        if let Some(&known) = state.due.get(&key) {
            if known.0 <= at {
                return;
            }
            state.delayed.remove(&known);
        }
        state.sequence += 1;
        let slot = (at, state.sequence);
        state.delayed.insert(slot, key.clone());
        state.due.insert(key, slot);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// Queues a key after a delay that doubles with every failure since [`Queue::forget`].
    pub fn add_rate_limited(&self, key: T) {
        let mut state = self.inner.state.lock();
        let failures = state.failures.entry(key.clone()).or_insert(0);
        let delay = BACKOFF_MIN.saturating_mul(1 << (*failures).min(30)).min(self.inner.backoff_max);
        *failures += 1;
        drop(state);
        METRICS.retries.with_label_values(&[self.inner.name]).inc();
        self.add_after(key, delay);
    }

    /// How often a key has failed in a row.
    pub fn failures(&self, key: &T) -> u32 {
        self.inner.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Forgets the failures of a key.
    pub fn forget(&self, key: &T) {
        self.inner.state.lock().failures.remove(key);
    }

    /// The next key to work on; call [`Queue::done`] for it afterwards. `None` once the queue is closed. Cancel safe.
    pub async fn next(&self) -> Option<T> {
        loop {
            let wait_until = {
                let mut state = self.inner.state.lock();
                if state.closed {
                    // Other workers have to learn it too.
                    self.inner.wake.notify_one();
                    return None;
                }
                state.promote(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    self.started(&mut state, &key);
                    if !state.ready.is_empty() {
                        self.inner.wake.notify_one();
                    }
                    return Some(key);
                }
                state.delayed.keys().next().map(|slot| slot.0)
            };
            match wait_until {
                None => self.inner.wake.notified().await,
                Some(at) => tokio::select! {
                    () = self.inner.wake.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// Work on a key has ended; it is queued again if it was added meanwhile.
    pub fn done(&self, key: &T) {
        let mut state = self.inner.state.lock();
        if let Some(started) = state.processing.remove(key) {
            let seconds = started.elapsed().as_secs_f64();
            METRICS.work.with_label_values(&[self.inner.name]).observe(seconds);
        }
        if state.dirty.contains_key(key) {
            state.ready.push_back(key.clone());
        }
        self.record_depth(&state);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// Ends the queue: nothing more is handed out.
    pub fn close(&self) {
        self.inner.state.lock().closed = true;
        self.inner.wake.notify_waiters();
        self.inner.wake.notify_one();
    }

    /// Keys ready to be worked on.
    pub fn len(&self) -> usize {
        self.inner.state.lock().ready.len()
    }

    /// Whether no key is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn started(&self, state: &mut State<T>, key: &T) {
        let now = Instant::now();
        if let Some(added) = state.dirty.remove(key) {
            METRICS.waiting.with_label_values(&[self.inner.name]).observe((now - added).as_secs_f64());
        }
        state.processing.insert(key.clone(), now);
        self.record_depth(state);
    }

    fn record_depth(&self, state: &State<T>) {
        METRICS
            .depth
            .with_label_values(&[self.inner.name])
            .set(i64::try_from(state.ready.len()).unwrap_or(i64::MAX));
    }
}

impl<T: QueueKey> State<T> {
    /// Whether the key is newly waiting.
    fn add(&mut self, key: T) -> bool {
        if self.closed || self.dirty.contains_key(&key) {
            return false;
        }
        self.dirty.insert(key.clone(), Instant::now());
        if !self.processing.contains_key(&key) {
            self.ready.push_back(key);
        }
        true
    }

    fn promote(&mut self, now: Instant) {
        while let Some(slot) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = slot.remove();
            self.due.remove(&key);
            self.add(key);
        }
    }
}

struct QueueMetrics {
    depth: IntGaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    waiting: HistogramVec,
    work: HistogramVec,
}

static METRICS: LazyLock<QueueMetrics> = LazyLock::new(|| {
    let buckets = metrics::QUEUE_BUCKETS;
    QueueMetrics {
        depth: metrics::gauges("workqueue_depth", "Current depth of workqueue", &["name"]),
        adds: metrics::counters(
            "workqueue_adds_total",
            "Total number of adds handled by workqueue",
            &["name"],
        ),
        retries: metrics::counters(
            "workqueue_retries_total",
            "Total number of retries handled by workqueue",
            &["name"],
        ),
        waiting: metrics::histograms(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            &["name"],
            buckets,
        ),
        work: metrics::histograms(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            &["name"],
            buckets,
        ),
    }
});

/// A set of keys seen, for tests and tools that drain a queue at once.
pub fn drain<T: QueueKey>(queue: &Queue<T>) -> HashSet<T> {
    let mut state = queue.inner.state.lock();
    let ready: HashSet<T> = state.ready.drain(..).collect();
    for key in &ready {
        state.dirty.remove(key);
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_by_one_worker_and_again_when_it_changed() {
        let queue = Queue::new("test");
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.next().await, Some("b"));
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.next()).await.is_err());
        queue.done(&"a");
        assert_eq!(queue.next().await, Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_are_forgotten() {
        let queue = Queue::with_backoff("test", Duration::from_secs(1));
        let start = Instant::now();
        for millis in [5, 15, 35, 75] {
            queue.add_rate_limited(1);
            assert_eq!(queue.next().await, Some(1));
            queue.done(&1);
            let elapsed = start.elapsed().as_millis();
            assert!((millis..millis + 4).contains(&elapsed), "{elapsed} instead of {millis}");
        }
        assert_eq!(queue.failures(&1), 4);
        queue.forget(&1);
        assert_eq!(queue.failures(&1), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_delay_counts_and_closing_ends_all_workers() {
        let queue = Queue::new("test");
        queue.add_after(1, Duration::from_secs(10));
        queue.add_after(1, Duration::from_secs(2));
        queue.add_after(1, Duration::from_secs(5));
        let start = Instant::now();
        assert_eq!(queue.next().await, Some(1));
        assert_eq!(start.elapsed().as_secs(), 2);
        queue.done(&1);
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.close();
        for worker in workers {
            assert_eq!(worker.await.unwrap(), None);
        }
    }
}
