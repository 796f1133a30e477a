//! Events about objects, written in the background and never in the way of the work they tell of.
//!
//! Repetitions of one event become one object with a count; many similar events about one object are combined; a source that
//! does not stop is throttled per object. A full queue drops events and says so in the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Event, EventSource, ObjectReference};
use api_types::k8s::api::events::v1::{Event as NewEvent, EventSeries};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Events that may wait to be written.
const QUEUE: usize = 1000;
/// Keys that the correlator remembers.
const MEMORY: usize = 4096;
/// Similar events within [`SIMILAR_WINDOW`] before they are combined.
const SIMILAR_MAX: usize = 10;
const SIMILAR_WINDOW: Duration = Duration::from_secs(600);
/// A series ends when it was quiet for this long.
const SERIES_WINDOW: Duration = Duration::from_secs(360);
/// Events about one object that may come at once, and how long each further one takes to be allowed.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// Which API the events are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `v1`, as controllers and the kubelet do.
    Core,
    /// `events.k8s.io/v1`, as the scheduler does.
    Events,
}

/// Whether something is worth worrying about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// All is as it should be.
    Normal,
    /// Something went wrong.
    Warning,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Takes events and writes them later. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Note>,
}

/// An event to be told.
#[derive(Clone, Debug)]
struct Note {
    regarding: ObjectReference,
    related: Option<ObjectReference>,
    kind: Kind,
    reason: String,
    action: String,
    message: String,
    at: jiff::Timestamp,
}

impl Recorder {
    /// A recorder for `component` (for example `deployment-controller`); `host` is the node for node agents, else empty.
    pub fn new(client: Client, shape: Shape, component: &str, host: &str) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            client,
            shape,
            component: component.to_owned(),
            host: host.to_owned(),
            instance: if host.is_empty() {
                format!("{component}-{}", own_host())
            } else {
                format!("{component}-{host}")
            },
            correlator: Correlator::default(),
        };
        tokio::spawn(writer.run(receiver));
        Self { sender }
    }

    /// A recorder that writes nothing, for tests.
    pub fn silent() -> Self {
        let (sender, _) = mpsc::channel(1);
        Self { sender }
    }

    /// Tells of something about an object that came from the server.
    pub fn event<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        kind: Kind,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.about(reference(object), kind, reason, "", message);
    }

    /// Tells of something about whatever `regarding` names. `action` matters in events.k8s.io only.
    pub fn about(
        &self,
        regarding: ObjectReference,
        kind: Kind,
        reason: &str,
        action: &str,
        message: impl Into<String>,
    ) {
        self.related(regarding, None, kind, reason, action, message);
    }

    /// As [`Recorder::about`], with a second object that took part.
    pub fn related(
        &self,
        regarding: ObjectReference,
        related: Option<ObjectReference>,
        kind: Kind,
        reason: &str,
        action: &str,
        message: impl Into<String>,
    ) {
        let note = Note {
            regarding,
            related,
            kind,
            reason: reason.to_owned(),
            action: action.to_owned(),
            message: message.into(),
            at: jiff::Timestamp::now(),
        };
        if let Err(mpsc::error::TrySendError::Full(note)) = self.sender.try_send(note) {
            tracing::warn!(
                object = note.regarding.name,
                reason = note.reason,
                "event dropped: too many are waiting"
            );
        }
    }
}

/// A reference to an object that came from the server.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

fn own_host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Writes what the correlator decides.
struct Writer {
    client: Client,
    shape: Shape,
    component: String,
    host: String,
    instance: String,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut notes: mpsc::Receiver<Note>) {
        while let Some(note) = notes.recv().await {
            let now = Instant::now();
            let Some(decision) = self.correlator.decide(self.shape, note, now) else { continue };
            for attempt in 1..=3u32 {
                match self.write(&decision).await {
                    Ok(()) => {
                        self.correlator.written(&decision, now);
                        break;
                    }
                    // An answer will not change; only what did not arrive is sent again.
                    Err(error @ (kube::Error::Api(_) | kube::Error::SerdeError(_))) => {
                        tracing::debug!(%error, reason = decision.note.reason, "event refused");
                        if decision.known.is_some() {
                            self.correlator.seen.remove(&decision.id);
                        }
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(%error, attempt, "cannot write event");
                        tokio::time::sleep(Duration::from_secs(u64::from(attempt) * 2)).await;
                    }
                }
            }
        }
    }

    async fn write(&self, decision: &Decision) -> Result<(), kube::Error> {
        let namespace = decision.note.regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        match (self.shape, &decision.known) {
            (Shape::Core, None) => {
                let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
                events.create(&PostParams::default(), &self.core_event(decision, namespace)).await.map(|_| ())
            }
            (Shape::Core, Some(name)) => {
                let patch = json!({
                    "count": decision.count,
                    "lastTimestamp": Time(decision.note.at),
                    "message": decision.note.message,
                });
                let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
                events.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(|_| ())
            }
            (Shape::Events, None) => {
                let events = Api::<NewEvent>::namespaced(self.client.clone(), &namespace);
                events.create(&PostParams::default(), &self.new_event(decision, namespace)).await.map(|_| ())
            }
            (Shape::Events, Some(name)) => {
                let series =
                    EventSeries { count: decision.count, last_observed_time: MicroTime(decision.note.at) };
                let events = Api::<NewEvent>::namespaced(self.client.clone(), &namespace);
                let patch = Patch::Strategic(json!({ "series": series }));
                events.patch(name, &PatchParams::default(), &patch).await.map(|_| ())
            }
        }
    }

    fn core_event(&self, decision: &Decision, namespace: String) -> Event {
        let note = &decision.note;
        Event {
            metadata: metadata(decision, namespace),
            involved_object: note.regarding.clone(),
            related: note.related.clone(),
            type_: Some(note.kind.as_str().to_owned()),
            reason: Some(note.reason.clone()),
            message: Some(note.message.clone()),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: (!self.host.is_empty()).then(|| self.host.clone()),
            }),
            first_timestamp: Some(Time(note.at)),
            last_timestamp: Some(Time(note.at)),
            count: Some(1),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        }
    }

    fn new_event(&self, decision: &Decision, namespace: String) -> NewEvent {
        let note = &decision.note;
        NewEvent {
            metadata: metadata(decision, namespace),
            event_time: Some(MicroTime(note.at)),
            regarding: Some(note.regarding.clone()),
            related: note.related.clone(),
            type_: Some(note.kind.as_str().to_owned()),
            reason: Some(note.reason.clone()),
            action: Some(note.action.clone()),
            note: Some(note.message.clone()),
            reporting_controller: Some(self.component.clone()),
            reporting_instance: Some(self.instance.clone()),
            ..NewEvent::default()
        }
    }
}

fn metadata(decision: &Decision, namespace: String) -> ObjectMeta {
    ObjectMeta { name: Some(decision.name.clone()), namespace: Some(namespace), ..ObjectMeta::default() }
}

/// What makes two events the same; without the message, what makes them similar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    object: Arc<str>,
    kind: Kind,
    reason: String,
    message: String,
}

/// An event to write: new, or one more of a known one.
struct Decision {
    id: Id,
    note: Note,
    name: String,
    known: Option<String>,
    count: i32,
}

#[derive(Default)]
struct Correlator {
    seen: HashMap<Id, Seen>,
    similar: HashMap<Id, (usize, Instant)>,
    tokens: HashMap<Arc<str>, (f64, Instant)>,
}

struct Seen {
    name: String,
    count: i32,
    last: Instant,
}

impl Correlator {
    fn decide(&mut self, shape: Shape, mut note: Note, now: Instant) -> Option<Decision> {
        self.shrink(now);
        let object = object_key(&note.regarding);
        if !self.allowed(&object, now) {
            return None;
        }
        let mut id = Id { object, kind: note.kind, reason: note.reason.clone(), message: String::new() };
        let similar = self.similar.entry(id.clone()).or_insert((0, now));
        if now - similar.1 > SIMILAR_WINDOW {
            *similar = (0, now);
        }
        id.message.clone_from(&note.message);
        if !self.seen.contains_key(&id) {
            similar.0 += 1;
        }
        if shape == Shape::Core && similar.0 > SIMILAR_MAX {
            note.message = format!("(combined from similar events): {}", note.message);
            id.message = "(combined)".to_owned();
        }
        let window = if shape == Shape::Events { SERIES_WINDOW } else { SIMILAR_WINDOW };
        let known = self.seen.get(&id).filter(|seen| now - seen.last <= window);
        let (name, count, known) = match known {
            Some(seen) => (seen.name.clone(), seen.count + 1, Some(seen.name.clone())),
            None => (event_name(&note), 1, None),
        };
        Some(Decision { id, note, name, known, count })
    }

    fn written(&mut self, decision: &Decision, now: Instant) {
        self.seen.insert(
            decision.id.clone(),
            Seen { name: decision.name.clone(), count: decision.count, last: now },
        );
    }

    /// A token bucket per object.
    fn allowed(&mut self, object: &Arc<str>, now: Instant) -> bool {
        let (tokens, at) = self.tokens.entry(Arc::clone(object)).or_insert((BURST, now));
        *tokens = (*tokens + (now - *at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *at = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }

    /// Keeps memory bounded: what is old goes first, and everything when that is not enough.
    fn shrink(&mut self, now: Instant) {
        if self.seen.len() < MEMORY && self.similar.len() < MEMORY && self.tokens.len() < MEMORY {
            return;
        }
        self.seen.retain(|_, seen| now - seen.last < SIMILAR_WINDOW);
        self.similar.retain(|_, (_, at)| now - *at < SIMILAR_WINDOW);
        self.tokens.retain(|_, (tokens, at)| *tokens < BURST - 1.0 && now - *at < REFILL * 25);
        for full in [self.seen.len() >= MEMORY, self.similar.len() >= MEMORY, self.tokens.len() >= MEMORY] {
            if full {
                self.seen.clear();
                self.similar.clear();
                self.tokens.clear();
            }
        }
    }
}

fn object_key(object: &ObjectReference) -> Arc<str> {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!(
        "{}/{}/{}/{}/{}",
        part(&object.kind),
        part(&object.namespace),
        part(&object.name),
        part(&object.uid),
        part(&object.field_path)
    )
    .into()
}

/// `<object>.<nanoseconds in hexadecimal>`, as upstream names events.
fn event_name(note: &Note) -> String {
    let name = note.regarding.name.as_deref().unwrap_or("unknown");
    let nanos = u64::try_from(note.at.as_nanosecond()).unwrap_or(0);
    format!("{}.{nanos:x}", name.get(..236).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(message: &str) -> Note {
        Note {
            regarding: ObjectReference { name: Some("a".into()), ..ObjectReference::default() },
            related: None,
            kind: Kind::Normal,
            reason: "Tested".into(),
            action: String::new(),
            message: message.into(),
            at: jiff::Timestamp::now(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn repetitions_are_counted_and_floods_are_combined_then_cut() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        for expected in 1..=3 {
            let decision = correlator.decide(Shape::Core, note("same"), now).unwrap();
            correlator.written(&decision, now);
            assert_eq!(decision.count, expected);
            assert_eq!(decision.known.is_some(), expected > 1);
        }
        let mut combined = 0;
        let mut dropped = 0;
        for i in 0..30 {
            match correlator.decide(Shape::Core, note(&format!("message {i}")), now) {
                Some(decision) => {
                    combined += usize::from(decision.note.message.starts_with("(combined"));
                    correlator.written(&decision, now);
                }
                None => dropped += 1,
            }
        }
        assert_eq!((combined, dropped), (13, 8));
    }
}
