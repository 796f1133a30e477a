//! The list+watch loop behind an informer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::WatchEvent;
use kube::core::ObjectList;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frames::Frames;
use super::{Key, Object, Scope, Shared};
use crate::{ErrorExt, Trouble};

/// Objects per page of a paginated list.
const PAGE: usize = 500;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch that lived this long counts as healthy, and the back-off starts anew.
const HEALTHY: Duration = Duration::from_secs(10);

/// Where the objects come from.
pub(super) struct Source<K> {
    pub client: Client,
    pub path: String,
    pub scope: Scope,
    pub transform: Option<fn(&mut K)>,
    /// Shared by the informers of a process.
    pub complaints: Arc<Complaints>,
}

/// How a stretch of watching ended.
enum Ended {
    /// Go on from the last revision.
    Resume,
    /// The revision is too old: list again.
    Expired,
    /// The server does not do streaming lists.
    NoStreaming,
}

/// Mirrors `source` into `shared` until `stop` is cancelled.
pub(super) async fn run<K: Object>(source: Source<K>, shared: Arc<Shared<K>>, stop: CancellationToken) {
    let mut reflector = Reflector { source, shared, revision: None, streaming: true };
    let mut backoff = BACKOFF_MIN;
    loop {
        let started = Instant::now();
        let step = tokio::select! {
            () = stop.cancelled() => return,
            step = reflector.step() => step,
        };
        if started.elapsed() > HEALTHY {
            backoff = BACKOFF_MIN;
        }
        match step {
            Ok(Ended::Resume) if started.elapsed() > Duration::from_secs(1) => continue,
            Ok(Ended::Resume) => {}
            Ok(Ended::NoStreaming) => {
                reflector.streaming = false;
                continue;
            }
            Ok(Ended::Expired) => reflector.revision = None,
            Err(error) => reflector.source.complaints.make(&reflector.source.path, &error, backoff),
        }
        let jitter = rand::rng().random_range(1.0..1.5);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.mul_f64(jitter)) => {}
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Says once why watching fails, for all informers of a process: an outage must not fill the log with a line per resource and
/// attempt.
#[derive(Default)]
pub(super) struct Complaints(Mutex<Option<(String, Instant)>>);

/// After this long the same complaint is made again.
const REPEAT: Duration = Duration::from_secs(60);

impl Complaints {
    fn make(&self, path: &str, error: &kube::Error, retry: Duration) {
        let trouble = Trouble::of(error);
        let cause = trouble.to_string();
        let mut said = self.0.lock();
        if said.as_ref().is_some_and(|(last, at)| *last == cause && at.elapsed() < REPEAT) {
            tracing::debug!(path, cause, ?retry, "watch still fails");
            return;
        }
        match trouble.cure() {
            Some(cure) => tracing::warn!(path, cause, cure, "cannot watch the apiserver; trying again"),
            None => tracing::warn!(path, cause, "cannot watch the apiserver; trying again"),
        }
        *said = Some((cause, Instant::now()));
    }
}

struct Reflector<K: Object> {
    source: Source<K>,
    shared: Arc<Shared<K>>,
    /// Where to go on; `None` when a full state is needed first.
    revision: Option<String>,
    streaming: bool,
}

impl<K: Object> Reflector<K> {
    /// Lists if needed, then watches until the stream ends.
    async fn step(&mut self) -> Result<Ended, kube::Error> {
        match (&self.revision, self.streaming) {
            (Some(revision), _) => {
                let revision = revision.clone();
                self.watch(&revision, None).await
            }
            (None, true) => self.watch("", Some(Vec::new())).await,
            (None, false) => {
                self.list().await?;
                Ok(Ended::Resume)
            }
        }
    }

    /// One watch request. With `initial`, the stream starts with the full state (KEP-3157), which is collected there and
    /// becomes visible at once when the server marks its end.
    async fn watch(
        &mut self,
        revision: &str,
        mut initial: Option<Vec<Arc<K>>>,
    ) -> Result<Ended, kube::Error> {
        let seconds = rand::rng().random_range(300..600);
        let mut query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}");
        if initial.is_some() {
            query.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        } else {
            query.push_str("&resourceVersion=");
            query.push_str(revision);
        }
        let request = self.request(&query, false)?;
        let mut frames = match Frames::open(&self.source.client, request).await {
            Ok(frames) => frames,
            Err(error) if expired(&error) => return Ok(Ended::Expired),
            Err(error) if initial.is_some() && matches!(error.status(), Some(400 | 422)) => {
                return Ok(Ended::NoStreaming);
            }
            Err(error) => return Err(error),
        };
        // The server ends the watch in time; this is for connections that died without a word.
        let deadline = Instant::now() + Duration::from_secs(seconds + 30);
        while let Ok(Some(frame)) = tokio::time::timeout_at(deadline, frames.next()).await {
            match serde_json::from_slice::<WatchEvent<K>>(&frame?) {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => match &mut initial {
                    Some(collected) => collected.push(self.trim(object)),
                    None => self.upsert(object),
                },
                Ok(WatchEvent::Deleted(object)) => self.remove(&object, initial.as_mut()),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    let end = bookmark.metadata.annotations.get("k8s.io/initial-events-end");
                    if end.is_some_and(|end| end == "true")
                        && let Some(objects) = initial.take()
                    {
                        self.replace(objects);
                    }
                    if initial.is_none() {
                        self.at(bookmark.metadata.resource_version);
                    }
                }
                Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(Ended::Expired),
                Ok(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
                Err(error) => {
                    tracing::error!(path = self.source.path, %error, "an object cannot be decoded and is left out");
                }
            }
        }
        Ok(Ended::Resume)
    }

    /// The full state in pages, for servers without streaming lists.
    async fn list(&mut self) -> Result<(), kube::Error> {
        let mut objects = Vec::new();
        let mut next = String::new();
        let mut page = PAGE;
        loop {
            let mut query = format!("limit={page}");
            if !next.is_empty() {
                query.push_str("&continue=");
                encode(&mut query, &next);
            }
            let list: ObjectList<K> = match self.source.client.request(self.request(&query, true)?).await {
                Ok(list) => list,
                // The pages' snapshot is gone: take everything in one piece.
                Err(error) if expired(&error) && !next.is_empty() => {
                    (next, page) = (String::new(), 0);
                    objects.clear();
                    continue;
                }
                Err(error) => return Err(error),
            };
            objects.extend(list.items.into_iter().map(|object| self.trim(object)));
            next = list.metadata.continue_.unwrap_or_default();
            if next.is_empty() {
                self.replace(objects);
                self.at(list.metadata.resource_version.unwrap_or_default());
                return Ok(());
            }
        }
    }

    fn request(&self, query: &str, list: bool) -> Result<http::Request<Vec<u8>>, kube::Error> {
        let mut target = format!("{}?{query}", self.source.path);
        for (name, selector) in
            [("labelSelector", &self.source.scope.labels), ("fieldSelector", &self.source.scope.fields)]
        {
            if let Some(selector) = selector {
                target.push_str(&format!("&{name}="));
                encode(&mut target, selector);
            }
        }
        let accept = match (K::metadata_api(), list) {
            (false, _) => "application/json",
            (true, false) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (true, true) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        };
        let request = http::Request::get(target).header(http::header::ACCEPT, accept).body(Vec::new());
        request.map_err(kube::Error::HttpError)
    }

    fn trim(&self, mut object: K) -> Arc<K> {
        object.meta_mut().managed_fields = None;
        if let Some(transform) = self.source.transform {
            transform(&mut object);
        }
        Arc::new(object)
    }

    fn upsert(&mut self, object: K) {
        let object = self.trim(object);
        let revision = object.meta().resource_version.clone().unwrap_or_default();
        self.shared.apply(Key::of(&*object), Some(object));
        self.at(revision);
    }

    fn remove(&mut self, object: &K, initial: Option<&mut Vec<Arc<K>>>) {
        let key = Key::of(object);
        if let Some(collected) = initial {
            collected.retain(|known| Key::of(&**known) != key);
            return;
        }
        self.shared.apply(key, None);
        self.at(object.meta().resource_version.clone().unwrap_or_default());
    }

    /// Makes the store equal to a full state; only differences are told.
    fn replace(&mut self, objects: Vec<Arc<K>>) {
        let present: HashSet<Key> = objects.iter().map(|object| Key::of(&**object)).collect();
        for gone in self.shared.store.keys().into_iter().filter(|key| !present.contains(key)) {
            self.shared.apply(gone, None);
        }
        for object in objects {
            let key = Key::of(&*object);
            let known = self.shared.store.get(&key);
            let same = known.is_some_and(|known| {
                known.meta().resource_version == object.meta().resource_version
                    && known.meta().uid == object.meta().uid
            });
            if !same {
                self.shared.apply(key, Some(object));
            }
        }
    }

    /// Everything up to `revision` has been applied.
    fn at(&mut self, revision: String) {
        if let Ok(number) = revision.parse() {
            self.shared.advance(number);
        }
        self.revision = Some(revision);
        self.shared.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }
}

fn expired(error: &kube::Error) -> bool {
    error.status() == Some(410)
}

/// Adds a query value to `target`, percent-encoded.
pub fn encode(target: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                target.push(char::from(byte));
            }
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
}
