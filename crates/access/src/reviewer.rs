//! Other servers that are asked: for whom a token stands, and who may do what.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

/// Sends a review object to another server.
#[async_trait]
pub trait Reviewer: Send + Sync {
    /// The review with its `status`.
    ///
    /// # Errors
    /// There was no answer, or none of use; worded for an administrator.
    async fn review(&self, review: &Value) -> Result<Value, String>;
}

/// Remembers answers for a while. Bounded: when it is full, what has expired goes, or else everything.
pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, (Instant, V)>>,
    capacity: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity }
    }

    pub(crate) fn find(&self, key: &K, now: Instant) -> Option<V> {
        let entries = self.entries.lock();
        entries.get(key).filter(|(until, _)| now < *until).map(|(_, value)| value.clone())
    }

    pub(crate) fn keep(&self, key: K, value: V, time: Duration, now: Instant) {
        if time.is_zero() {
            return;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= self.capacity {
            entries.retain(|_, (until, _)| now < *until);
        }
        if entries.len() >= self.capacity {
            entries.clear();
        }
        entries.insert(key, (now + time, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_their_time_and_no_more_than_fit() {
        let cache = Cache::new(2);
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        cache.keep("a", 1, minute, now);
        cache.keep("b", 2, Duration::ZERO, now);
        assert_eq!((cache.find(&"a", now), cache.find(&"b", now)), (Some(1), None));
        assert_eq!(cache.find(&"a", now + minute), None);
        cache.keep("b", 2, minute, now);
        cache.keep("c", 3, minute, now + minute / 2);
        assert_eq!(cache.find(&"c", now + minute / 2), Some(3));
        assert_eq!(cache.find(&"a", now), None);
    }
}
