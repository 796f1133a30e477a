//! Reading a whole resource from etcd: at first, and again when history was lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::etcd::RangeError;
use crate::object::Object;
use crate::shared::{Arrival, Phase, Resource, Shared};

/// Loads a resource and makes it ready. Repeats until it succeeds or the resource is removed.
pub(crate) async fn run(shared: Arc<Shared>, resource: Arc<Resource>) {
    let mut pause = RETRY_FIRST;
    while *resource.phase.borrow() == Phase::Loading {
        match range(&shared, &resource, 0).await {
            Ok((objects, revision)) => {
                if finish(&shared, &resource, objects, revision) {
                    return;
                }
            }
            Err(RangeError::Compacted) => {}
            Err(RangeError::Other(error)) => {
                report(&resource, &error);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_LAST);
            }
        }
    }
}

/// All objects of a resource at one revision; zero means the newest, which is returned.
pub(crate) async fn range(
    shared: &Shared,
    resource: &Resource,
    revision: i64,
) -> Result<(Vec<Arc<Object>>, i64), RangeError> {
    let call = resource.call("list", "loading a resource");
    let end = prefix_end(&resource.prefix);
    let mut from = resource.prefix.clone().into_bytes();
    let mut at = revision;
    let mut objects = Vec::new();
    loop {
        let page = shared.etcd.range(call, &from, &end, PAGE_KEYS, at).await?;
        if at == 0 {
            at = page.revision;
        }
        for kv in &page.kvs {
            match resource.decode(&shared.interner, kv) {
                Ok(object) => objects.push(object),
                Err(error) => tracing::error!(%error, "left out a stored object that cannot be read"),
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => {
                from = last.key().to_vec();
                from.push(0);
            }
            _ => return Ok((objects, at)),
        }
        // Decoding a page keeps this thread for some milliseconds; let others run.
        tokio::task::yield_now().await;
    }
}

/// The first key after all keys with a prefix that ends with a slash.
pub(crate) fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Puts the load in place and catches up with what came meanwhile. False when it is too old.
fn finish(shared: &Shared, resource: &Resource, objects: Vec<Arc<Object>>, revision: i64) -> bool {
    let mut state = resource.state.write();
    if revision < shared.load_floor.load(Ordering::Acquire) {
        state.backlog = Some(Vec::new());
        return false;
    }
    if *resource.phase.borrow() == Phase::Removed {
        return true;
    }
    let count = objects.len();
    state.cache.load(objects, revision);
    let backlog = state.backlog.take().unwrap_or_default();
    let missed: Vec<Arrival> = backlog.into_iter().filter(|arrival| arrival.revision > revision).collect();
    resource.apply_locked(&mut state.cache, missed, Instant::now());
    state.loaded_at = revision;
    resource.phase.send_replace(Phase::Ready);
    resource.metrics.initializations.inc();
    tracing::debug!(resource = resource.config.qualified(), objects = count, revision, "loaded a resource");
    true
}

fn report(resource: &Resource, error: &Error) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(resource = resource.config.qualified(), %error, cause, "cannot load a resource from etcd yet; trying again");
}

/// Keys per request: a few megabytes of typical objects.
const PAGE_KEYS: i64 = 500;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(5);
