//! Who watches what: an event visits only the watchers whose narrowest requirement it meets.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::event::{Event, EventKind};
use crate::object::Object;
use crate::query::Selection;

/// One change of one object, in the order of revisions.
#[derive(Debug)]
pub(crate) struct Change {
    pub revision: i64,
    pub old: Option<Arc<Object>>,
    pub new: Option<Arc<Object>>,
}

impl Change {
    /// What a selection sees of the change: an object that leaves it is deleted, with its old state at the new
    /// revision; one that enters it is added.
    pub fn seen_by(&self, selection: &Selection, events: &Events) -> Option<Arc<Event>> {
        let matching =
            |object: &Option<Arc<Object>>| object.clone().filter(|object| selection.matches(object));
        match (matching(&self.old), matching(&self.new)) {
            (None, None) => None,
            (None, Some(new)) => Some(Events::one(&events.added, || Event::new(EventKind::Added, new))),
            (Some(_), Some(new)) => {
                Some(Events::one(&events.modified, || Event::new(EventKind::Modified, new)))
            }
            (Some(old), None) => Some(Events::one(&events.deleted, || {
                Event::new(EventKind::Deleted, Arc::new(old.at_revision(self.revision)))
            })),
        }
    }
}

/// The events that a change can give, each made when the first watcher needs it and shared from then on.
#[derive(Default)]
pub(crate) struct Events {
    added: OnceLock<Arc<Event>>,
    modified: OnceLock<Arc<Event>>,
    deleted: OnceLock<Arc<Event>>,
}

impl Events {
    fn one(slot: &OnceLock<Arc<Event>>, make: impl FnOnce() -> Arc<Event>) -> Arc<Event> {
        slot.get_or_init(make).clone()
    }
}

/// A registered watcher.
pub(crate) struct Watcher {
    id: u64,
    selection: Selection,
    /// Only changes after this revision are wanted.
    after: i64,
    queue: mpsc::Sender<Arc<Event>>,
}

/// All watchers of a resource, each in one bucket: the narrowest that its selection allows.
#[derive(Default)]
pub(crate) struct Watchers {
    next_id: u64,
    buckets: HashMap<Bucket, Vec<Watcher>>,
    count: usize,
}

/// What all watchers of a bucket have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Bucket {
    All,
    Namespace(Box<str>),
    Name(Box<str>),
    Key(Box<str>),
    Field(usize, Box<str>),
}

impl Bucket {
    fn of(selection: &Selection, namespaced: bool, indexed: impl Fn(usize) -> bool) -> Self {
        match (&selection.namespace, &selection.name, &selection.index) {
            (Some(namespace), Some(name), _) => Bucket::Key(format!("{namespace}/{name}").into()),
            (None, Some(name), _) if namespaced => Bucket::Name(name.clone()),
            (None, Some(name), _) => Bucket::Key(name.clone()),
            (_, None, Some((slot, value))) if indexed(*slot) => Bucket::Field(*slot, value.clone()),
            (Some(namespace), None, _) => Bucket::Namespace(namespace.clone()),
            (None, None, _) => Bucket::All,
        }
    }
}

/// What became of a change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub events: u64,
    /// Watchers ended because their queue was full.
    pub ended: u64,
}

impl Watchers {
    /// Registers a watcher; returns where to find it again.
    pub fn add(
        &mut self,
        selection: Selection,
        after: i64,
        capacity: usize,
        namespaced: bool,
        indexed: impl Fn(usize) -> bool,
    ) -> (u64, Bucket, mpsc::Receiver<Arc<Event>>) {
        let (queue, receiver) = mpsc::channel(capacity);
        let bucket = Bucket::of(&selection, namespaced, indexed);
        let id = self.next_id;
        self.next_id += 1;
        self.count += 1;
        self.buckets.entry(bucket.clone()).or_default().push(Watcher { id, selection, after, queue });
        (id, bucket, receiver)
    }

    /// Forgets a watcher, if it is still there.
    pub fn remove(&mut self, id: u64, bucket: &Bucket) {
        let Some(watchers) = self.buckets.get_mut(bucket) else {
            return;
        };
        if let Some(at) = watchers.iter().position(|watcher| watcher.id == id) {
            watchers.swap_remove(at);
            self.count -= 1;
        }
        if watchers.is_empty() {
            self.buckets.remove(bucket);
        }
    }

    /// Ends all watchers: their streams finish after what is queued.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = 0;
    }

    /// Hands a change to its audience.
    pub fn dispatch(&mut self, change: &Change, indexed: &[usize]) -> Delivered {
        let mut delivered = Delivered::default();
        let Some(object) = change.new.as_ref().or(change.old.as_ref()).filter(|_| self.count > 0) else {
            return delivered;
        };
        let events = Events::default();
        let (namespace, name) = (object.namespace(), object.name());
        let mut visit = |bucket: Bucket| {
            let ended = match self.buckets.get_mut(&bucket) {
                Some(watchers) => deliver(watchers, change, &events, &mut delivered),
                None => return,
            };
            self.count -= ended;
            if ended > 0 && self.buckets.get(&bucket).is_some_and(Vec::is_empty) {
                self.buckets.remove(&bucket);
            }
        };
        visit(Bucket::All);
        visit(Bucket::Key(object.key.clone()));
        if !namespace.is_empty() {
            visit(Bucket::Namespace(namespace.into()));
            visit(Bucket::Name(name.into()));
        }
        for slot in indexed {
            let old = change.old.as_ref().and_then(|object| object.field_at(*slot));
            let new = change.new.as_ref().and_then(|object| object.field_at(*slot));
            if let Some(old) = old.filter(|old| Some(*old) != new) {
                visit(Bucket::Field(*slot, old.into()));
            }
            if let Some(new) = new {
                visit(Bucket::Field(*slot, new.into()));
            }
        }
        delivered
    }
}

/// Returns how many watchers were ended, because they lag or are gone.
fn deliver(
    watchers: &mut Vec<Watcher>,
    change: &Change,
    events: &Events,
    delivered: &mut Delivered,
) -> usize {
    let before = watchers.len();
    watchers.retain(|watcher| {
        if change.revision <= watcher.after {
            return true;
        }
        let Some(event) = change.seen_by(&watcher.selection, events) else {
            return true;
        };
        match watcher.queue.try_send(event) {
            Ok(()) => {
                delivered.events += 1;
                true
            }
            Err(TrySendError::Full(_)) => {
                delivered.ended += 1;
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    });
    before - watchers.len()
}

#[cfg(test)]
mod tests;
