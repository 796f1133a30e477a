//! Which events are repetitions of one another, and which are too many.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::ObjectReference;
use tokio::time::Instant;

use super::{Kind, Note, Shape};

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

/// What makes two events the same; without the message, what makes them similar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    object: Arc<str>,
    kind: Kind,
    reason: String,
    message: String,
}

/// An event to write: new, or one more of a known one.
pub(super) struct Decision {
    id: Id,
    pub note: Note,
    /// Name of the Event object.
    pub name: String,
    /// The object to add to, if it exists already.
    pub known: Option<String>,
    pub count: i32,
}

/// Finds repetitions and floods.
#[derive(Default)]
pub(super) struct Correlator {
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
    /// What to write for a note; nothing when its object has had too many.
    pub(super) fn decide(&mut self, shape: Shape, mut note: Note, now: Instant) -> Option<Decision> {
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

    /// Remembers what was written.
    pub(super) fn written(&mut self, decision: &Decision, now: Instant) {
        self.seen.insert(
            decision.id.clone(),
            Seen { name: decision.name.clone(), count: decision.count, last: now },
        );
    }

    /// The object written before is gone.
    pub(super) fn forget(&mut self, decision: &Decision) {
        self.seen.remove(&decision.id);
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
