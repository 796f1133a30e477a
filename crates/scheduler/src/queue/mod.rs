//! Pods without a node: who is next, who has to wait, and for what.
//!
//! ```text
//!          gated ──(gate opens)──► active ──pop──► decision ──► bound
//!                                    ▲                 │ nothing fits        │ something broke
//!               back-off is over     │                 ▼                     ▼
//!  back-off ◄──(something changed)── unschedulable     (error) back-off, 1 s to 10 s
//! ```
//!
//! While no pod is active, pods in ordinary back-off are tried early. The queue has no clock: `now` comes from the caller.

mod nominated;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::PodInfo;

pub use nominated::Nominated;

/// Limits of the waiting times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Back-off after the first failure; it doubles.
    pub initial_backoff: Duration,
    /// Longest back-off.
    pub max_backoff: Duration,
    /// After this long an unschedulable pod is tried again though nothing relevant was seen.
    pub max_unschedulable: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            max_unschedulable: Duration::from_secs(300),
        }
    }
}

/// A waiting pod and its history.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    /// The pod.
    pub info: Arc<PodInfo>,
    /// Rank given by the QueueSort plugin.
    pub rank: i64,
    /// How often a decision was tried.
    pub attempts: u32,
    /// When it first came.
    pub arrived: Instant,
    /// When it came to where it is now.
    since: Instant,
    /// The plugins that said no last time; none when something broke, and then any change wakes it.
    pub blamed: Vec<&'static str>,
}

/// Where a pod waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active(ActiveKey),
    Backoff(BackoffKey),
    ErrorBackoff(BackoffKey),
    Unschedulable,
    /// Held back by this PreEnqueue plugin.
    Gated(&'static str),
}

type ActiveKey = (Reverse<i64>, Instant, u64);
type BackoffKey = (Instant, u64);
type Uid = Arc<str>;

/// The queue. Pods that are being decided or bound are not in it.
#[derive(Debug, Default)]
pub struct Queue {
    limits: Limits,
    pods: HashMap<Uid, (QueuedPod, Place)>,
    active: BTreeMap<ActiveKey, Uid>,
    backoff: BTreeMap<BackoffKey, Uid>,
    /// The same pods by rank, to be tried early.
    early: BTreeMap<(Reverse<i64>, BackoffKey), Uid>,
    error_backoff: BTreeMap<BackoffKey, Uid>,
    /// Unschedulable and gated pods: those that a change may wake.
    waiting: HashSet<Uid>,
    sequence: u64,
}

/// How many pods wait where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Ready to be decided.
    pub active: usize,
    /// Waiting out a back-off.
    pub backoff: usize,
    /// Waiting for a change.
    pub unschedulable: usize,
    /// Held back before the queue.
    pub gated: usize,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Adds a new pod; `gate` names the plugin that holds it back, if one does.
    pub fn add(&mut self, info: Arc<PodInfo>, rank: i64, gate: Option<&'static str>, now: Instant) {
        let pod = QueuedPod { info, rank, attempts: 0, arrived: now, since: now, blamed: Vec::new() };
        match gate {
            Some(plugin) => self.put(pod, Place::Gated(plugin)),
            None => self.activate(pod, now),
        }
    }

    /// Whether a pod waits here.
    pub fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// The state of a waiting pod that decisions would use.
    pub fn get(&self, uid: &str) -> Option<&QueuedPod> {
        self.pods.get(uid).map(|(pod, _)| pod)
    }

    /// The plugins that hold a waiting pod back or said no to it.
    pub fn blamed(&self, uid: &str) -> Vec<&'static str> {
        match self.pods.get(uid) {
            Some((_, Place::Gated(plugin))) => vec![plugin],
            Some((pod, _)) => pod.blamed.clone(),
            None => Vec::new(),
        }
    }

    /// Whether no pod waits for a change.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes over a new state of a waiting pod without moving it, except to its place by rank.
    pub fn replace(&mut self, info: Arc<PodInfo>, rank: i64) {
        let Some((mut pod, place)) = self.take(&Arc::clone(&info.uid)) else { return };
        pod.info = info;
        pod.rank = rank;
        let place = match place {
            Place::Active((_, since, sequence)) => Place::Active((Reverse(rank), since, sequence)),
            other => other,
        };
        self.put(pod, place);
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &str) -> Option<QueuedPod> {
        self.take(uid).map(|(pod, _)| pod)
    }

    /// The pod to decide next. Pods in ordinary back-off come early while no other is ready.
    pub fn pop(&mut self, now: Instant) -> Option<QueuedPod> {
        self.expire(now);
        let uid = match self.active.first_key_value() {
            Some((_, uid)) => Arc::clone(uid),
            None => Arc::clone(self.early.first_key_value()?.1),
        };
        let (mut pod, _) = self.take(&uid)?;
        pod.attempts += 1;
        Some(pod)
    }

    /// Puts back a pod that fits nowhere; `blamed` said so.
    pub fn reject(&mut self, mut pod: QueuedPod, blamed: Vec<&'static str>, now: Instant) {
        pod.blamed = blamed;
        pod.since = now;
        self.put(pod, Place::Unschedulable);
    }

    /// Puts back a pod for which something broke; it is tried again after its back-off.
    pub fn retry(&mut self, mut pod: QueuedPod, now: Instant) {
        pod.blamed.clear();
        pod.since = now;
        let key = (now + self.backoff_of(&pod), self.next());
        self.put(pod, Place::ErrorBackoff(key));
    }

    /// Something changed: wakes the pods for which `wakes` says so. `gate` is asked again before they get in.
    pub fn wake(
        &mut self,
        now: Instant,
        wakes: impl Fn(&QueuedPod, &[&'static str]) -> bool,
        gate: impl Fn(&PodInfo) -> Option<&'static str>,
    ) -> usize {
        let wakes = |uid: &&Uid| match self.pods.get(*uid) {
            Some((pod, Place::Unschedulable)) => wakes(pod, &pod.blamed),
            Some((pod, Place::Gated(plugin))) => wakes(pod, &[plugin]),
            _ => false,
        };
        let woken: Vec<Uid> = self.waiting.iter().filter(wakes).cloned().collect();
        woken.iter().filter(|uid| self.release(uid, now, &gate)).count()
    }

    /// Wakes one pod; `false` when it is not waiting for a change or still held back.
    pub fn release(
        &mut self,
        uid: &str,
        now: Instant,
        gate: impl Fn(&PodInfo) -> Option<&'static str>,
    ) -> bool {
        let waiting = |(_, place): &(_, Place)| matches!(place, Place::Unschedulable | Place::Gated(_));
        if !self.pods.get(uid).is_some_and(waiting) {
            return false;
        }
        let Some((pod, place)) = self.take(uid) else { return false };
        if let Some(plugin) = gate(&pod.info) {
            self.put(pod, Place::Gated(plugin));
            return false;
        }
        let ready = pod.since + self.backoff_of(&pod);
        if ready <= now || matches!(place, Place::Gated(_)) {
            self.activate(pod, now);
        } else {
            let key = (ready, self.next());
            self.put(pod, Place::Backoff(key));
        }
        true
    }

    /// Tries pods again that have waited for the longest time allowed.
    pub fn flush(&mut self, now: Instant, gate: impl Fn(&PodInfo) -> Option<&'static str>) {
        let limit = self.limits.max_unschedulable;
        let stale =
            |(pod, place): &(QueuedPod, Place)| *place == Place::Unschedulable && now - pod.since > limit;
        let stale = |uid: &&Uid| self.pods.get(*uid).is_some_and(stale);
        let uids: Vec<Uid> = self.waiting.iter().filter(stale).cloned().collect();
        for uid in uids {
            self.release(&uid, now, &gate);
        }
    }

    /// When [`Queue::pop`] will have something although nothing happens.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.error_backoff.first_key_value().map(|((ready, _), _)| *ready)
    }

    /// How many pods wait where.
    pub fn sizes(&self) -> Sizes {
        let gated = self.pods.values().filter(|(_, place)| matches!(place, Place::Gated(_))).count();
        let (active, backoff) = (self.active.len(), self.backoff.len() + self.error_backoff.len());
        Sizes { active, backoff, unschedulable: self.pods.len() - active - backoff - gated, gated }
    }

    fn expire(&mut self, now: Instant) {
        let expired = |queue: &BTreeMap<BackoffKey, Uid>| {
            queue.first_key_value().filter(|((ready, _), _)| *ready <= now).map(|(_, uid)| Arc::clone(uid))
        };
        while let Some(uid) = expired(&self.backoff).or_else(|| expired(&self.error_backoff)) {
            let Some((pod, _)) = self.take(&uid) else { return };
            self.activate(pod, now);
        }
    }

    fn activate(&mut self, mut pod: QueuedPod, now: Instant) {
        pod.since = now;
        let key = (Reverse(pod.rank), now, self.next());
        self.put(pod, Place::Active(key));
    }

    fn put(&mut self, pod: QueuedPod, place: Place) {
        let uid = Arc::clone(&pod.info.uid);
        match place {
            Place::Active(key) => drop(self.active.insert(key, Arc::clone(&uid))),
            Place::Backoff(key) => {
                self.backoff.insert(key, Arc::clone(&uid));
                self.early.insert((Reverse(pod.rank), key), Arc::clone(&uid));
            }
            Place::ErrorBackoff(key) => drop(self.error_backoff.insert(key, Arc::clone(&uid))),
            Place::Unschedulable | Place::Gated(_) => {
                self.waiting.insert(Arc::clone(&uid));
            }
        }
        self.pods.insert(uid, (pod, place));
    }

    fn take(&mut self, uid: &str) -> Option<(QueuedPod, Place)> {
        let (pod, place) = self.pods.remove(uid)?;
        match place {
            Place::Active(key) => drop(self.active.remove(&key)),
            Place::Backoff(key) => {
                self.backoff.remove(&key);
                self.early.remove(&(Reverse(pod.rank), key));
            }
            Place::ErrorBackoff(key) => drop(self.error_backoff.remove(&key)),
            Place::Unschedulable | Place::Gated(_) => {
                self.waiting.remove(uid);
            }
        }
        Some((pod, place))
    }

    fn backoff_of(&self, pod: &QueuedPod) -> Duration {
        let doublings = pod.attempts.saturating_sub(1).min(16);
        (self.limits.initial_backoff * 2u32.pow(doublings)).min(self.limits.max_backoff)
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

#[cfg(test)]
mod tests;
