//! The list+watch loop behind an informer.
//!
//! Nothing here depends on the type of the objects: they stay JSON until [`Mirror`] decodes them, so that the loop is
//! compiled once and not once per resource.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use rand::RngExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Scope;
use super::frames::Frames;
use super::mirror::{self, Mirror};
use crate::{ErrorExt, Trouble, fetch};

/// Objects per page of a paginated list.
const PAGE: usize = 500;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch that lived this long counts as healthy, and the back-off starts anew.
const HEALTHY: Duration = Duration::from_secs(10);

/// Where the objects come from.
pub(super) struct Source {
    pub client: Client,
    pub path: String,
    pub scope: Scope,
    /// Ask for the objects' metadata only.
    pub metadata_only: bool,
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

/// Shows `mirror` everything that `source` has until `stop` is cancelled.
pub(super) async fn run(source: Source, mirror: Box<dyn Mirror>, stop: CancellationToken) {
    let mut reflector = Reflector { source, mirror, revision: None, streaming: true };
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

struct Reflector {
    source: Source,
    mirror: Box<dyn Mirror>,
    /// Where to go on; `None` when a full state is needed first.
    revision: Option<String>,
    streaming: bool,
}

/// One event of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: mirror::Meta,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

impl Reflector {
    /// Lists if needed, then watches until the stream ends.
    async fn step(&mut self) -> Result<Ended, kube::Error> {
        match (self.revision.clone(), self.streaming) {
            (Some(revision), _) => self.watch(&revision, false).await,
            (None, true) => self.watch("", true).await,
            (None, false) => {
                self.list().await?;
                Ok(Ended::Resume)
            }
        }
    }

    /// One watch request. With `initial`, the stream starts with the full state (KEP-3157), which is collected and becomes
    /// visible at once when the server marks its end.
    async fn watch(&mut self, revision: &str, mut initial: bool) -> Result<Ended, kube::Error> {
        let seconds = rand::rng().random_range(300..600);
        let mut query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}");
        if initial {
            query.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
            self.mirror.restart();
        } else {
            query.push_str("&resourceVersion=");
            query.push_str(revision);
        }
        let request = self.request(&query, false)?;
        let mut frames = match Frames::open(&self.source.client, request).await {
            Ok(frames) => frames,
            Err(error) if expired(&error) => return Ok(Ended::Expired),
            Err(error) if initial && matches!(error.status(), Some(400 | 422)) => {
                return Ok(Ended::NoStreaming);
            }
            Err(error) => return Err(error),
        };
        // The server ends the watch in time; this is for connections that died without a word.
        let deadline = Instant::now() + Duration::from_secs(seconds + 30);
        while let Ok(Some(frame)) = tokio::time::timeout_at(deadline, frames.next()).await {
            match self.take(&frame?, &mut initial) {
                Ok(None) => {}
                Ok(Some(status)) if status.code == 410 => return Ok(Ended::Expired),
                Ok(Some(status)) => return Err(kube::Error::Api(Box::new(status))),
                Err(error) => {
                    let path = &self.source.path;
                    tracing::error!(path, %error, "an object cannot be decoded and is left out");
                }
            }
        }
        Ok(Ended::Resume)
    }

    /// Takes one event in; gives the status when the event is an error.
    fn take(
        &mut self,
        frame: &[u8],
        initial: &mut bool,
    ) -> Result<Option<kube::core::Status>, serde_json::Error> {
        let event: Event<'_> = serde_json::from_slice(frame)?;
        let object = event.object.get();
        match &*event.kind {
            "ADDED" | "MODIFIED" if *initial => self.mirror.collect(object)?,
            "ADDED" | "MODIFIED" => {
                let revision = self.mirror.upsert(object)?;
                self.at(revision);
            }
            "DELETED" => {
                let meta = mirror::Head::read(object)?.metadata;
                self.mirror.remove(&meta.key(), *initial);
                if !*initial {
                    self.at(meta.resource_version);
                }
            }
            "BOOKMARK" => {
                let meta = mirror::Head::read(object)?.metadata;
                if *initial && meta.ends_initial_events() {
                    *initial = false;
                    self.mirror.replace();
                }
                if !*initial {
                    self.at(meta.resource_version);
                }
            }
            _ => return serde_json::from_str(object).map(Some),
        }
        Ok(None)
    }

    /// The full state in pages, for servers without streaming lists.
    async fn list(&mut self) -> Result<(), kube::Error> {
        self.mirror.restart();
        let mut next = String::new();
        let mut page = PAGE;
        loop {
            let mut query = format!("limit={page}");
            if !next.is_empty() {
                query.push_str("&continue=");
                encode(&mut query, &next);
            }
            let body = match fetch::body(&self.source.client, self.request(&query, true)?).await {
                Ok(body) => body,
                // The pages' snapshot is gone: take everything in one piece.
                Err(error) if expired(&error) && !next.is_empty() => {
                    (next, page) = (String::new(), 0);
                    self.mirror.restart();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let list: Page<'_> = serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?;
            for item in list.items.into_iter().flatten() {
                self.mirror.collect(item.get()).map_err(kube::Error::SerdeError)?;
            }
            next = list.metadata.continue_;
            if next.is_empty() {
                self.mirror.replace();
                self.at(list.metadata.resource_version);
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
        let accept = match (self.source.metadata_only, list) {
            (false, _) => "application/json",
            (true, false) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (true, true) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        };
        let request = http::Request::get(target).header(http::header::ACCEPT, accept).body(Vec::new());
        request.map_err(kube::Error::HttpError)
    }

    /// Everything up to `revision` has been applied.
    fn at(&mut self, revision: String) {
        self.mirror.reached(revision.parse().unwrap_or_default());
        self.revision = Some(revision);
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
