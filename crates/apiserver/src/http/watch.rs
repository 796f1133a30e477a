//! The body of a watch: event frames until the client goes, the time is up or the events end.
//!
//! JSON frames in the stored version are made once per event and shared by all watchers. Frames in other forms are made
//! once per event and form, and shared the same way.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use storage::{Event, EventKind};
use tokio_util::sync::CancellationToken;

use super::body::{self, Body};
use super::media::{Accepted, Format, Shape};
use super::render::Renderer;
use super::respond;
use crate::error::{Error, Result};
use crate::registry::Endpoint;
use crate::registry::endpoint::{metadata_only, storage_error};
use crate::registry::request::WatchOutcome;
use crate::table;

/// The response of an open watch. `stop` ends it early (the server shuts down).
pub fn stream(
    endpoint: Arc<Endpoint>,
    accepted: Accepted,
    include_object: table::Include,
    outcome: WatchOutcome,
    stop: CancellationToken,
) -> Response<Body> {
    let content_type = match accepted.format {
        Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        format => format.content_type(),
    };
    let framer = Framer { endpoint, accepted, include_object, columns: true };
    respond::response(StatusCode::OK, content_type, body::stream(frames(framer, outcome, stop)))
}

fn frames(
    framer: Framer,
    outcome: WatchOutcome,
    stop: CancellationToken,
) -> impl Stream<Item = Bytes> + Send {
    let source = match outcome.events {
        Ok(events) => Source::Events(Box::new(events)),
        Err(error) => Source::Failed(error),
    };
    let feed = Feed {
        framer,
        source,
        deadline: tokio::time::Instant::now() + outcome.timeout,
        bookmarks: outcome.bookmarks,
        stop,
    };
    futures::stream::unfold(feed, |mut feed| async move { feed.next().await.map(|frame| (frame, feed)) })
}

/// Where frames come from.
enum Source {
    Events(Box<storage::Watch>),
    Failed(Error),
    Ended,
}

/// One watcher's frames.
struct Feed {
    framer: Framer,
    source: Source,
    deadline: tokio::time::Instant,
    bookmarks: bool,
    stop: CancellationToken,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        let watch = match &mut self.source {
            Source::Events(watch) => watch,
            Source::Failed(error) => {
                let frame = self.framer.error(error);
                self.source = Source::Ended;
                return Some(frame);
            }
            Source::Ended => return None,
        };
        tokio::select! {
            biased;
            next = watch.next() => match next? {
                Ok(event) => Some(self.framer.prepared(&event).await),
                Err(error) => {
                    self.source = Source::Ended;
                    Some(self.framer.error(&storage_error(error)))
                }
            },
            () = tokio::time::sleep_until(self.deadline) => {
                let last = watch.bookmark_now().filter(|_| self.bookmarks);
                self.source = Source::Ended;
                last.map(|event| self.framer.frame(&event))
            }
            () = self.stop.cancelled() => None,
        }
    }
}

/// Makes the frames of one watcher.
struct Framer {
    endpoint: Arc<Endpoint>,
    accepted: Accepted,
    include_object: table::Include,
    /// Column definitions are sent with the first table only.
    columns: bool,
}

impl Framer {
    /// The frame of an event whose object may have to be converted by a webhook.
    async fn prepared(&mut self, event: &Arc<Event>) -> Bytes {
        if self.endpoint.converts()
            && event.kind != EventKind::Bookmark
            && let Err(error) = self.endpoint.prepare(std::slice::from_ref(&event.object)).await
        {
            return self.error(&error);
        }
        self.frame(event)
    }

    fn frame(&mut self, event: &Arc<Event>) -> Bytes {
        let frame = match (self.accepted.shape, self.accepted.format) {
            (None, Format::Json) if !self.endpoint.converts() => return event.frame().clone(),
            (Some((Shape::Table, version)), _) => self.table(event, version),
            (Some((_, version)), _) => metadata(event, version),
            (None, Format::Protobuf) if self.endpoint.has_protobuf() => self.protobuf(event),
            (None, Format::Yaml) => self.yaml(event),
            (None, _) => self.json(event),
        };
        frame.unwrap_or_else(|error| self.error(&error))
    }

    fn json(&self, event: &Event) -> Result<Bytes> {
        let json = match event.kind {
            EventKind::Bookmark => event.object.json().clone(),
            _ => self.endpoint.json(&event.object)?,
        };
        Ok(json_frame(event.kind, &self.endpoint.head, &json))
    }

    fn yaml(&self, event: &Event) -> Result<Bytes> {
        let object = respond::with_kind(&self.endpoint.info, self.endpoint.value(&event.object)?);
        let event = json!({ "type": event.kind.as_str(), "object": object });
        let text = serde_yaml::to_string(&event).map_err(Error::internal)?;
        Ok(format!("---\n{text}").into())
    }

    fn protobuf(&self, event: &Event) -> Result<Bytes> {
        let info = &self.endpoint.info;
        let raw = self.endpoint.protobuf(&event.object)?;
        let object = api_types::codec::wrap(&info.api_version(), &info.kind, &raw);
        let message = api_types::codec::encode_watch_event(event.kind.as_str(), &object);
        // Frames are delimited by their length, four bytes, big end first.
        let mut frame = BytesMut::with_capacity(message.len() + 4);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(&message);
        Ok(frame.freeze())
    }

    fn table(&mut self, event: &Event, version: &str) -> Result<Bytes> {
        let object = self.endpoint.value(&event.object)?;
        let renderer = Renderer {
            endpoint: &self.endpoint,
            accepted: self.accepted,
            include_object: self.include_object,
            gzip: false,
        };
        let columns = std::mem::take(&mut self.columns);
        let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
        let objects = vec![object];
        let table = renderer.table(version, metadata, objects, columns)?;
        value_frame(event.kind.as_str(), &table)
    }

    fn error(&self, error: &Error) -> Bytes {
        let status = error.to_value();
        if self.accepted.format == Format::Protobuf
            && let Some(schema) = api_types::schema::by_gvk("", "v1", "Status")
            && let Ok(object) = api_types::codec::encode_object(&schema, &status)
        {
            let message = api_types::codec::encode_watch_event("ERROR", &object);
            let mut frame = BytesMut::with_capacity(message.len() + 4);
            frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
            frame.put_slice(&message);
            return frame.freeze();
        }
        value_frame("ERROR", &status).unwrap_or_default()
    }
}

fn metadata(event: &Event, version: &str) -> Result<Bytes> {
    let json = metadata_only(event.object.json()).map_err(Error::internal)?;
    let head = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","#);
    Ok(json_frame(event.kind, head.as_bytes(), &json))
}

fn json_frame(kind: EventKind, head: &[u8], json: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(head.len() + json.len() + 40);
    frame.put_slice(b"{\"type\":\"");
    frame.put_slice(kind.as_str().as_bytes());
    frame.put_slice(b"\",\"object\":");
    frame.put_slice(head);
    frame.put_slice(&json[1..]);
    frame.put_slice(b"}\n");
    frame.freeze()
}

fn value_frame(kind: &str, object: &Value) -> Result<Bytes> {
    let mut bytes =
        serde_json::to_vec(&json!({ "type": kind, "object": object })).map_err(Error::internal)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
