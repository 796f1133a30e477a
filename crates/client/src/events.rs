//! Events about objects, written in the background and never in the way of the work they tell of.
//!
//! Repetitions of one event become one object with a count; many similar events about one object are combined; a source that
//! does not stop is throttled per object. A full queue drops events and says so in the log.

mod correlate;

use std::time::Duration;

use api_types::k8s::api::core::v1::{Event, EventSource, ObjectReference};
use api_types::k8s::api::events::v1::{Event as NewEvent, EventSeries};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use correlate::{Correlator, Decision};

/// Events that may wait to be written.
const QUEUE: usize = 1000;
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
                            self.correlator.forget(&decision);
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
