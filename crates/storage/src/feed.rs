//! The one watch that feeds all caches, in the order of revisions, through failures of etcd.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Event, EventType, WatchOptions, WatchResponse};

use crate::etcd::RangeError;
use crate::load;
use crate::shared::{Arrival, Phase, Resource, Shared};

/// Watches, as long as the store lives. A lost watch resumes after the last revision applied; where etcd has compacted
/// beyond that, the difference is found by reading everything again.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut pause = RETRY_FIRST;
    loop {
        let started = Instant::now();
        match watch(&shared).await {
            Ok(Lost::History) => recover(&shared).await,
            Ok(Lost::Stream(reason)) => {
                tracing::warn!(
                    reason,
                    revision = shared.progress.reached(),
                    "the etcd watch ended; resuming it"
                );
            }
            Err(error) => {
                let reason = crate::error::chain(&error);
                tracing::warn!(
                    reason,
                    revision = shared.progress.reached(),
                    "the etcd watch failed; resuming it"
                );
            }
        }
        if started.elapsed() > RETRY_LAST {
            pause = RETRY_FIRST;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Why a watch cannot go on.
enum Lost {
    /// What follows the last applied revision is compacted, or etcd is not where it was.
    History,
    /// The stream ended, for a reason given by etcd.
    Stream(String),
}

async fn watch(shared: &Arc<Shared>) -> Result<Lost, etcd_client::Error> {
    let Ok(current) = shared.etcd.revision().await else {
        return Ok(Lost::Stream("etcd does not answer".to_owned()));
    };
    if current < shared.progress.reached() {
        return Ok(Lost::History);
    }
    let nudger = Nudger::default();
    tokio::spawn(nudger.clone().find_out(shared.clone()));
    let prefix = format!("{}/", shared.options.prefix.trim_end_matches('/'));
    let options = WatchOptions::new()
        .with_range(load::prefix_end(&prefix))
        .with_start_revision(shared.progress.reached() + 1)
        .with_progress_notify();
    let (mut requests, mut responses) =
        shared.etcd.watch_client().watch(prefix, Some(options)).await?.split();
    loop {
        tokio::select! {
            response = responses.message() => {
                let Some(response) = response? else {
                    return Ok(Lost::Stream("etcd closed it".to_owned()));
                };
                if response.canceled() {
                    let compacted = response.compact_revision() > 0;
                    return Ok(if compacted { Lost::History } else { Lost::Stream(response.cancel_reason().to_owned()) });
                }
                take(shared, &response, nudger.trusts_progress());
            }
            () = shared.progress.nudge.notified() => {
                if nudger.trusts_progress() && shared.progress.behind() {
                    requests.request_progress().await?;
                }
                nudger.follow_up(shared);
            }
        }
    }
}

/// Applies one response.
fn take(shared: &Shared, response: &WatchResponse, progress_is_reliable: bool) {
    let Some(last) =
        response.events().iter().filter_map(Event::kv).map(etcd_client::KeyValue::mod_revision).max()
    else {
        let revision = response.header().map_or(0, |header| header.revision());
        if progress_is_reliable && !response.created() {
            shared.progress.advance(revision);
        }
        return;
    };
    for (resource, arrivals) in by_resource(shared, response.events()) {
        resource.apply(arrivals);
    }
    shared.progress.advance(last);
}

/// The arrivals of a response, each resource's in their order.
fn by_resource(shared: &Shared, events: &[Event]) -> Vec<(Arc<Resource>, Vec<Arrival>)> {
    let mut groups: Vec<(Arc<Resource>, Vec<Arrival>)> = Vec::new();
    for event in events {
        let Some(kv) = event.kv() else { continue };
        let Ok(etcd_key) = kv.key_str() else { continue };
        let Some(resource) = shared.resource_of(etcd_key) else { continue };
        let object = match event.event_type() {
            EventType::Delete => None,
            EventType::Put => match shared.inflight.take(etcd_key, kv.value(), &resource.config) {
                Some(prepared) => Some(prepared.object(kv.mod_revision())),
                None => resource
                    .decode(&shared.interner, kv)
                    .inspect_err(
                        |error| tracing::error!(%error, "left out a stored object that cannot be read"),
                    )
                    .ok(),
            },
        };
        let key = etcd_key.strip_prefix(&resource.prefix).unwrap_or_default().into();
        let arrival = Arrival { key, object, revision: kv.mod_revision() };
        match groups.iter_mut().find(|(candidate, _)| Arc::ptr_eq(candidate, &resource)) {
            Some((_, arrivals)) => arrivals.push(arrival),
            None => groups.push((resource, vec![arrival])),
        }
    }
    groups
}

/// Brings the caches to the present revision of etcd when its history does not: where keys outside our prefix moved it.
#[derive(Clone, Default)]
struct Nudger {
    /// Whether etcd's answers to progress requests can be trusted; not until that is known.
    reliable: Arc<AtomicBool>,
    marking: Arc<AtomicBool>,
}

impl Nudger {
    fn trusts_progress(&self) -> bool {
        self.reliable.load(Ordering::Acquire)
    }

    /// Asks all members for their versions, which may take a while when one is down.
    ///
    /// Before 3.4.31 and 3.5.13 etcd may report progress ahead of events that it still has to send (etcd issues 15220 and
    /// 17507), so there the caches follow a marker key instead, whose event cannot overtake others.
    async fn find_out(self, shared: Arc<Shared>) {
        let (versions, complete) = shared.etcd.versions().await;
        let reliable = complete && versions.iter().all(|version| reports_progress_in_order(version));
        self.reliable.store(reliable, Ordering::Release);
        tracing::debug!(?versions, reliable, "whether etcd reports watch progress in order");
    }

    /// Writes the marker where progress requests cannot be trusted, and nudges again while someone is left waiting.
    fn follow_up(&self, shared: &Arc<Shared>) {
        if !shared.progress.behind() || self.marking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (shared, marking, reliable) = (shared.clone(), self.marking.clone(), self.trusts_progress());
        tokio::spawn(async move {
            if !reliable {
                // A write is dear; most often the event was only late.
                tokio::time::sleep(MARKER_PATIENCE).await;
            }
            if !reliable && shared.progress.behind() {
                let marker = format!("{}/{MARKER}", shared.options.prefix.trim_end_matches('/'));
                if let Err(error) = shared.etcd.put_marker(&marker).await {
                    tracing::debug!(%error, "cannot write the progress marker");
                }
            }
            tokio::time::sleep(NUDGE_AGAIN).await;
            marking.store(false, Ordering::Release);
            if shared.progress.behind() {
                shared.progress.nudge.notify_one();
            }
        });
    }
}

fn reports_progress_in_order(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    match version {
        (3, 4, patch) => patch >= 31,
        (3, 5, patch) => patch >= 13,
        (major, minor, _) => (major, minor) >= (3, 6),
    }
}

/// Reads every loaded resource again at one revision and applies what differs.
async fn recover(shared: &Shared) {
    while let Err(error) = try_recover(shared).await {
        if let RangeError::Other(error) = error {
            let reason = crate::error::chain(&error);
            tracing::warn!(reason, "cannot read the state of etcd again yet; trying again");
        }
        tokio::time::sleep(RETRY_LAST).await;
    }
}

async fn try_recover(shared: &Shared) -> Result<(), RangeError> {
    let revision = shared.etcd.revision().await.map_err(RangeError::Other)?;
    let went_back = revision < shared.progress.reached();
    tracing::warn!(
        revision,
        reached = shared.progress.reached(),
        went_back,
        "the history of etcd since the last revision is gone; reading its state again"
    );
    // Loads under way that are older than this are repeated by themselves.
    shared.load_floor.store(revision, Ordering::Release);
    shared.inflight.clear();
    let resources: Vec<_> = shared.resources.read().values().cloned().collect();
    for resource in resources {
        if *resource.phase.borrow() != Phase::Ready {
            continue;
        }
        let (objects, _) = load::range(shared, &resource, revision).await?;
        let mut state = resource.state.write();
        if *resource.phase.borrow() != Phase::Ready {
            continue;
        }
        if went_back {
            // Revisions mean something else now: watchers have to begin anew.
            state.cache.watchers.clear();
            state.cache.load(objects, revision);
            state.loaded_at = revision;
            continue;
        }
        let changes = state.cache.catch_up(objects, revision);
        let arrivals = changes.into_iter().map(|(key, object, revision)| Arrival { key, object, revision });
        resource.apply_locked(&mut state.cache, arrivals.collect(), Instant::now());
    }
    if went_back {
        shared.progress.reset(revision);
    } else {
        shared.progress.advance(revision);
    }
    Ok(())
}

/// Below the prefix of the store, so that its event comes on the watch. No resource lies there.
const MARKER: &str = "coxswain.io/progress";
const MARKER_PATIENCE: Duration = Duration::from_millis(20);
const NUDGE_AGAIN: Duration = Duration::from_millis(20);
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::reports_progress_in_order;

    #[test]
    fn versions_with_ordered_progress() {
        let cases = [
            ("3.4.23", false),
            ("3.4.31", true),
            ("3.5.12", false),
            ("3.5.13", true),
            ("3.6.0-rc.1", true),
            ("4.0.0", true),
            ("3.3.27", false),
            ("", false),
        ];
        for (version, expected) in cases {
            assert_eq!(reports_progress_in_order(version), expected, "{version}");
        }
    }
}
