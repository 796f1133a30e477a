//! watch.

use std::time::Duration;

use rand::RngExt as _;
use storage::{Freshness, WatchFrom, WatchQuery};

use super::Registry;
use super::endpoint::storage_error;
use super::options::ListOptions;
use super::read::version_number;
use super::request::{Outcome, Request, WatchOutcome};
use super::selection::Selectors;
use crate::error::{Error, Result};

impl Registry {
    /// Opens a watch. A version that is too old is no failure of the request but its first event.
    ///
    /// # Errors
    /// `BadRequest` for malformed selectors, failures of storage.
    pub async fn watch(&self, request: &Request) -> Result<Outcome> {
        let options = ListOptions::parse(&request.query, true)?;
        let endpoint = &request.endpoint;
        let selectors = Selectors::parse(endpoint, &options.label_selector, &options.field_selector)?;
        let mut selection = selectors.selection(endpoint, &request.namespace);
        if !request.name.is_empty() {
            selection = selection.name(&request.name);
        }
        let query = WatchQuery { selection, from: start(&options)?, bookmarks: options.bookmarks };
        let events = match endpoint.store()?.watch(query).await {
            Ok(watch) => Ok(watch),
            Err(error @ (storage::Error::Expired { .. } | storage::Error::TooLargeRevision { .. })) => {
                Err(storage_error(error))
            }
            Err(error) => return Err(storage_error(error)),
        };
        let timeout = match options.timeout_secs {
            Some(secs) if secs > 0 => Duration::from_secs(u64::try_from(secs).unwrap_or(0)),
            _ => {
                let least = self.settings.min_watch_secs.max(1);
                Duration::from_secs(rand::rng().random_range(least..2 * least))
            }
        };
        Ok(Outcome::Watch(Box::new(WatchOutcome { events, timeout, bookmarks: options.bookmarks })))
    }
}

fn start(options: &ListOptions) -> Result<WatchFrom> {
    // A malformed version fails inside the storage layer upstream, hence the odd code.
    let version = |text: &str| version_number(text).map_err(|why| Error::plain(500, "", why));
    let end_bookmark = options.bookmarks;
    Ok(match (options.send_initial_events, options.resource_version.as_str()) {
        (Some(true), "") => WatchFrom::State { freshness: Freshness::Latest, end_bookmark },
        (Some(true), text) => match version(text)? {
            0 => WatchFrom::State { freshness: Freshness::Any, end_bookmark },
            revision => WatchFrom::State { freshness: Freshness::AtLeast(revision), end_bookmark },
        },
        (Some(false), "") => WatchFrom::Now,
        (None, "") => WatchFrom::State { freshness: Freshness::Latest, end_bookmark: false },
        (sent, text) => match version(text)? {
            0 if sent == Some(false) => WatchFrom::Now,
            0 => WatchFrom::State { freshness: Freshness::Any, end_bookmark: false },
            revision => WatchFrom::After(revision),
        },
    })
}
