//! The stream of events that one watcher receives.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use crate::error::{Error, Result};
use crate::event::Event;

/// The events of one watch, in revision order. It ends when the watcher lags too far behind or the resource is removed;
/// the client then watches again from the last revision it saw. An error ends it too.
pub struct Watch {}

impl Watch {
    /// A bookmark at the newest revision, if every event up to there was taken from the stream; for the moment before
    /// a request's time is up.
    pub fn bookmark_now(&mut self) -> Option<Arc<Event>> {
        None
    }
}

impl Stream for Watch {
    type Item = Result<Arc<Event>, Error>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}
