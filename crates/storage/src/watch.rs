//! The stream of events that one watcher receives.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt, Stream};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::cache::{Objects, scan};
use crate::error::{Error, Result};
use crate::event::{Event, EventKind};
use crate::object::{Object, Slots};
use crate::query::Selection;
use crate::resource::Registration;
use crate::watchers::{Change, Events};

/// The events of one watch, in revision order: first what is replayed, then what happens. It ends when the watcher lags
/// too far behind or the resource is removed; the client then watches again from the last revision it saw.
pub struct Watch {
    registration: Registration,
    queue: mpsc::Receiver<Arc<Event>>,
    replay: Replay,
    selection: Selection,
    /// The revision up to which the client knows everything.
    seen: i64,
    bookmarks: Option<Bookmarks>,
}

struct Bookmarks {
    interval: Duration,
    due: Pin<Box<Sleep>>,
}

/// What happened before a watch began, of which it shows the part that it selects.
pub(crate) enum Past {
    /// Changes since the revision that the client knows.
    Changes(Vec<Arc<Change>>),
    /// The state at the beginning, with a bookmark at its end if there is a revision.
    State(Objects, Option<i64>),
}

/// What is shown before live events.
#[derive(Default)]
pub(crate) struct Replay {
    changes: VecDeque<Arc<Change>>,
    state: VecDeque<Arc<Object>>,
    end_bookmark: Option<i64>,
}

impl Replay {
    pub fn new(past: Past, selection: &Selection) -> Self {
        match past {
            Past::Changes(changes) => Self { changes: changes.into(), ..Self::default() },
            Past::State(objects, end_bookmark) => {
                let selected = scan(&objects, selection, "").filter(|object| selection.matches(object));
                Self { state: selected.cloned().collect(), end_bookmark, ..Self::default() }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.changes.is_empty() && self.state.is_empty() && self.end_bookmark.is_none()
    }
}

impl Watch {
    pub(crate) fn new(
        registration: Registration,
        queue: mpsc::Receiver<Arc<Event>>,
        replay: Replay,
        selection: Selection,
        seen: i64,
        bookmark_interval: Option<Duration>,
    ) -> Self {
        let bookmarks = bookmark_interval
            .map(|interval| Bookmarks { interval, due: Box::pin(tokio::time::sleep(interval)) });
        Self { registration, queue, replay, selection, seen, bookmarks }
    }

    /// A bookmark at the newest revision, if every event up to there was taken from the stream; for the moment before
    /// a request's time is up.
    pub fn bookmark_now(&mut self) -> Option<Arc<Event>> {
        // Read before the queue is checked: what is reached is in the queues.
        let reached = self.registration.shared.progress.reached();
        (self.replay.is_done() && self.queue.is_empty() && reached > self.seen).then(|| {
            self.seen = reached;
            self.bookmark(reached, false)
        })
    }

    /// The next event that is already there to be replayed.
    fn replayed(&mut self) -> Option<Arc<Event>> {
        if let Some(object) = self.replay.state.pop_front() {
            return Some(Event::new(EventKind::Added, object));
        }
        if let Some(revision) = self.replay.end_bookmark.take() {
            return Some(self.bookmark(revision, true));
        }
        while let Some(change) = self.replay.changes.pop_front() {
            if let Some(event) = change.seen_by(&self.selection, &Events::default()) {
                self.seen = change.revision;
                return Some(event);
            }
        }
        None
    }

    fn bookmark(&self, revision: i64, ends_initial_events: bool) -> Arc<Event> {
        let annotations =
            if ends_initial_events { r#""annotations":{"k8s.io/initial-events-end":"true"},"# } else { "" };
        let head = format!(r#"{{"metadata":{{{annotations}"resourceVersion":""#);
        let object = Object {
            config: self.registration.resource.config.clone(),
            key: Box::default(),
            name_at: 0,
            revision_at: u32::try_from(head.len()).unwrap_or(0),
            uid: Box::default(),
            revision,
            labels: Box::default(),
            fields: Box::default(),
            json: format!(r#"{head}{revision}"}}}}"#).into(),
            encodings: Slots::default(),
        };
        Event::new(EventKind::Bookmark, Arc::new(object))
    }

    /// A periodic bookmark, when one is due and there is something new to say.
    fn due_bookmark(&mut self, context: &mut Context<'_>, reached: i64) -> Option<Arc<Event>> {
        let bookmarks = self.bookmarks.as_mut()?;
        while bookmarks.due.poll_unpin(context).is_ready() {
            let next = tokio::time::Instant::now() + bookmarks.interval;
            bookmarks.due.as_mut().reset(next);
            if reached > self.seen {
                self.seen = reached;
                return Some(self.bookmark(reached, false));
            }
        }
        None
    }
}

impl Stream for Watch {
    type Item = Result<Arc<Event>, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(event) = this.replayed() {
            return Poll::Ready(Some(Ok(event)));
        }
        // Read before the queue is found empty: what is reached is in the queues, so a bookmark there overtakes nothing.
        let reached = this.registration.shared.progress.reached();
        match this.queue.poll_recv(context) {
            Poll::Ready(Some(event)) => {
                this.seen = this.seen.max(event.revision());
                Poll::Ready(Some(Ok(event)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.due_bookmark(context, reached) {
                Some(event) => Poll::Ready(Some(Ok(event))),
                None => Poll::Pending,
            },
        }
    }
}
