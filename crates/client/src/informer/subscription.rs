//! What a subscriber has not seen yet: at most one entry per key, so the backlog is bounded by the number of objects.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Key;

/// What happened to one key since the subscriber last saw it.
#[derive(Clone, Debug)]
pub struct Change<K> {
    /// Whose state changed.
    pub key: Key,
    /// The state the subscriber saw last; `None` when it did not exist.
    pub old: Option<Arc<K>>,
    /// The present state; `None` when it is gone. It may be another object of the same name: compare uids.
    pub new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The newest state there is to look at.
    pub fn latest(&self) -> Option<&Arc<K>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// Both states, old first, as far as they exist.
    pub fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(self.new.iter())
    }
}

/// A stream of [`Change`]s in the order in which keys first changed.
pub struct Subscription<K> {
    pending: Arc<Pending<K>>,
}

impl<K> Subscription<K> {
    pub(super) fn new(pending: Arc<Pending<K>>) -> Self {
        Self { pending }
    }

    /// Waits for the next change. Cancel safe.
    pub async fn next(&mut self) -> Change<K> {
        loop {
            // The permit of a `notify_one` before we wait is kept, so no change is slept through.
            if let Some(change) = self.pending.pop() {
                return change;
            }
            self.pending.wake.notified().await;
        }
    }

    /// The next change if there is one now.
    pub fn try_next(&mut self) -> Option<Change<K>> {
        self.pending.pop()
    }
}

pub(crate) struct Pending<K> {
    queue: Mutex<Queue<K>>,
    wake: Notify,
}

struct Queue<K> {
    order: VecDeque<Key>,
    changes: HashMap<Key, Unseen<K>>,
}

/// Old and new state of a key with unseen changes.
type Unseen<K> = (Option<Arc<K>>, Option<Arc<K>>);

impl<K> Default for Pending<K> {
    fn default() -> Self {
        let queue = Queue { order: VecDeque::new(), changes: HashMap::new() };
        Self { queue: Mutex::new(queue), wake: Notify::new() }
    }
}

impl<K> Pending<K> {
    pub(super) fn push(&self, key: Key, old: Option<Arc<K>>, new: Option<Arc<K>>) {
        let mut queue = self.queue.lock();
        match queue.changes.get_mut(&key) {
            Some(unseen) => unseen.1 = new,
            None => {
                queue.order.push_back(key.clone());
                queue.changes.insert(key, (old, new));
            }
        }
        drop(queue);
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<Change<K>> {
        let mut queue = self.queue.lock();
        loop {
            let key = queue.order.pop_front()?;
            match queue.changes.remove(&key) {
                // Came and went unseen.
                Some((None, None)) | None => continue,
                Some((old, new)) => return Some(Change { key, old, new }),
            }
        }
    }
}
