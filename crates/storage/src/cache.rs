//! The state of one resource in memory: the objects in key order, the recent changes, and who watches.

use std::collections::{HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imbl::OrdSet;

use crate::intern::Symbol;
use crate::object::{ByKey, Object};
use crate::query::Selection;
use crate::watchers::{Change, Delivered, Watchers};

/// Objects in key order; a clone is a snapshot and costs nothing.
pub(crate) type Objects = OrdSet<ByKey>;

/// The cache of one resource.
pub(crate) struct Cache {
    objects: Objects,
    /// For each indexed field its slot, and the objects by value.
    indexes: Vec<(usize, HashMap<Symbol, Objects>)>,
    indexed: Box<[usize]>,
    /// The revision of the newest change, or of the load.
    changed_at: i64,
    history: History,
    snapshots: VecDeque<Snapshot>,
    pub watchers: Watchers,
}

struct Snapshot {
    revision: i64,
    taken: Instant,
    objects: Objects,
}

impl Cache {
    /// An empty cache with indexes over the fields in these slots.
    pub fn new(indexed: Box<[usize]>, limits: HistoryLimits) -> Self {
        Self {
            objects: Objects::new(),
            indexes: indexed.iter().map(|slot| (*slot, HashMap::new())).collect(),
            indexed,
            changed_at: 0,
            history: History::new(limits),
            snapshots: VecDeque::new(),
            watchers: Watchers::default(),
        }
    }

    /// Takes over what was loaded at a revision. History begins there.
    pub fn load(&mut self, objects: Vec<Arc<Object>>, revision: i64) {
        self.objects = Objects::new();
        self.indexes = self.indexed.iter().map(|slot| (*slot, HashMap::new())).collect();
        self.snapshots.clear();
        self.history.restart(revision);
        self.changed_at = revision;
        for object in objects {
            self.put(object);
        }
    }

    /// Applies one change and hands it to the watchers. `None` as the new state is a deletion.
    pub fn apply(&mut self, key: &str, new: Option<Arc<Object>>, revision: i64, now: Instant) -> Delivered {
        let old = match &new {
            Some(object) => self.put(object.clone()),
            None => self.take(key),
        };
        self.changed_at = self.changed_at.max(revision);
        if old.is_none() && new.is_none() {
            return Delivered::default();
        }
        let change = Arc::new(Change { revision, old, new });
        let delivered = self.watchers.dispatch(&change, &self.indexed);
        self.history.push(change, now);
        delivered
    }

    /// The newest objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The objects that a selection could cover, narrowed by an index when there is one.
    pub fn candidates(&self, selection: &Selection) -> Objects {
        let Some((slot, value)) = &selection.index else {
            return self.objects.clone();
        };
        match self.indexes.iter().find(|(indexed, _)| indexed == slot) {
            Some((_, values)) => values.get(&**value).cloned().unwrap_or_default(),
            None => self.objects.clone(),
        }
    }

    /// The revision of the newest change or load.
    pub fn changed_at(&self) -> i64 {
        self.changed_at
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.objects.get(key).map(|found| found.0.clone())
    }

    /// The objects as they were at a past revision; `None` when memory does not reach back so far.
    pub fn objects_at(&self, revision: i64) -> Option<Objects> {
        if revision >= self.changed_at {
            return Some(self.objects.clone());
        }
        if let Some(snapshot) = self.snapshots.iter().find(|snapshot| snapshot.revision == revision) {
            return Some(snapshot.objects.clone());
        }
        let mut objects = self.objects.clone();
        for change in self.history.after(revision)?.iter().rev() {
            match (&change.old, &change.new) {
                (Some(old), _) => {
                    objects.insert(ByKey(old.clone()));
                }
                (None, Some(new)) => {
                    objects.remove::<str>(&new.key);
                }
                (None, None) => {}
            }
        }
        Some(objects)
    }

    /// Keeps a snapshot for the pages that follow.
    pub fn keep(&mut self, revision: i64, objects: Objects, now: Instant) {
        self.snapshots.retain(|snapshot| now.duration_since(snapshot.taken) < SNAPSHOT_AGE);
        if self.snapshots.iter().any(|snapshot| snapshot.revision == revision) {
            return;
        }
        if self.snapshots.len() == SNAPSHOTS_MAX {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(Snapshot { revision, taken: now, objects });
    }

    /// The changes after a revision, oldest first; an error names the oldest revision that could be asked for.
    pub fn changes_after(&self, revision: i64) -> Result<Vec<Arc<Change>>, i64> {
        self.history.after(revision).ok_or(self.history.floor)
    }

    /// Drops what is too old to be kept. Called now and then, so that an idle resource lets go of its past.
    pub fn expire(&mut self, now: Instant) {
        self.snapshots.retain(|snapshot| now.duration_since(snapshot.taken) < SNAPSHOT_AGE);
        self.history.trim(now);
    }

    /// What differs from a later state, in the order of revisions: how to catch up after history was lost.
    /// Deletions, whose revision nobody knows any more, come at `revision`, that of the later state.
    pub fn catch_up(
        &self,
        later: Vec<Arc<Object>>,
        revision: i64,
    ) -> Vec<(Box<str>, Option<Arc<Object>>, i64)> {
        let later: Objects = later.into_iter().map(ByKey).collect();
        let mut changes = Vec::new();
        for ByKey(new) in &later {
            let old = self.get(&new.key);
            if old.as_ref().is_some_and(|old| old.revision == new.revision) {
                continue;
            }
            if old.is_some_and(|old| old.uid != new.uid) {
                // Deleted and made anew in the gap. The deletion came before the revision of the new object, and
                // after what watchers have seen.
                changes.push((
                    new.key.clone(),
                    None,
                    (new.revision - 1).max(self.changed_at + 1).min(new.revision),
                ));
            }
            changes.push((new.key.clone(), Some(new.clone()), new.revision));
        }
        for ByKey(old) in &self.objects {
            if !later.contains::<str>(&old.key) {
                changes.push((old.key.clone(), None, revision));
            }
        }
        changes.sort_by_key(|(_, _, revision)| *revision);
        changes
    }

    fn put(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        let old = self.objects.insert(ByKey(object.clone())).map(|old| old.0);
        for (slot, values) in &mut self.indexes {
            let value = &object.fields[*slot];
            if let Some(old) = old.as_ref().filter(|old| old.fields[*slot] != *value) {
                unindex(values, old, *slot);
            }
            values.entry(value.clone()).or_default().insert(ByKey(object.clone()));
        }
        old
    }

    fn take(&mut self, key: &str) -> Option<Arc<Object>> {
        let old = self.objects.remove::<str>(key)?.0;
        for (slot, values) in &mut self.indexes {
            unindex(values, &old, *slot);
        }
        Some(old)
    }
}

fn unindex(values: &mut HashMap<Symbol, Objects>, object: &Object, slot: usize) {
    let value = &object.fields[slot];
    if let Some(objects) = values.get_mut(value) {
        objects.remove::<str>(&object.key);
        if objects.is_empty() {
            values.remove(value);
        }
    }
}

/// The part of the objects that a selection's exact requirements leave, from a start key on.
pub(crate) fn scan<'a>(
    objects: &'a Objects,
    selection: &Selection,
    start: &str,
) -> impl Iterator<Item = &'a Arc<Object>> {
    let (low, high) = match &selection.namespace {
        None => (String::new(), None),
        // The slash is followed by '0', so this ends the namespace's keys.
        Some(namespace) => (format!("{namespace}/"), Some(format!("{namespace}0"))),
    };
    let low = if start > low.as_str() { start.to_owned() } else { low };
    // A token may start beyond the namespace; ranges must not be inverted.
    let empty = high.as_ref().is_some_and(|high| *high <= low);
    let high = high.filter(|_| !empty).map_or(Bound::Unbounded, Bound::Excluded);
    let low: Bound<String> = Bound::Included(low);
    let bounds = (low.as_ref().map(String::as_str), high.as_ref().map(String::as_str));
    let range = objects.range::<_, str>(bounds);
    range.take(if empty { 0 } else { usize::MAX }).map(|found| &found.0)
}

/// How much of the past is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryLimits {
    pub window: Duration,
    pub bytes: usize,
}

/// The recent changes of a resource, oldest first.
struct History {
    changes: VecDeque<(Instant, Arc<Change>)>,
    /// Bytes of the superseded objects, which only the history keeps alive.
    bytes: usize,
    /// All changes after this revision are here.
    floor: i64,
    limits: HistoryLimits,
}

impl History {
    fn new(limits: HistoryLimits) -> Self {
        Self { changes: VecDeque::new(), bytes: 0, floor: 0, limits }
    }

    fn restart(&mut self, revision: i64) {
        self.changes.clear();
        self.bytes = 0;
        self.floor = revision;
    }

    fn push(&mut self, change: Arc<Change>, now: Instant) {
        self.bytes += weight(&change);
        self.changes.push_back((now, change));
        self.trim(now);
    }

    /// Forgets what is over the limits. Changes of one revision go together, else a watch could resume in their midst.
    fn trim(&mut self, now: Instant) {
        while let Some((at, change)) = self.changes.front() {
            let old = now.duration_since(*at) >= self.limits.window && self.changes.len() > CHANGES_KEPT;
            let same_revision = change.revision == self.floor;
            if !(old || same_revision || self.bytes > self.limits.bytes || self.changes.len() > CHANGES_MAX) {
                break;
            }
            self.floor = change.revision;
            self.bytes -= weight(change);
            self.changes.pop_front();
        }
    }

    fn after(&self, revision: i64) -> Option<Vec<Arc<Change>>> {
        if revision < self.floor {
            return None;
        }
        let from = self.changes.partition_point(|(_, change)| change.revision <= revision);
        Some(self.changes.range(from..).map(|(_, change)| change.clone()).collect())
    }
}

fn weight(change: &Change) -> usize {
    CHANGE_OVERHEAD + change.old.as_ref().map_or(0, |old| old.json.len())
}

const CHANGE_OVERHEAD: usize = 128;
/// So many changes are kept however old they are: quiet resources can be resumed after a long time.
const CHANGES_KEPT: usize = 100;
/// Upstream's upper bound.
const CHANGES_MAX: usize = 102_400;
const SNAPSHOT_AGE: Duration = Duration::from_secs(75);
const SNAPSHOTS_MAX: usize = 16;

#[cfg(test)]
mod tests;
