//! What watchers receive.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::object::{Object, Slots, kind_head};

/// The kind of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The object appeared, or entered the selection.
    Added,
    /// The object changed within the selection.
    Modified,
    /// The object was deleted, or left the selection. The event shows its last state inside, at the new revision.
    Deleted,
    /// Everything up to the revision was delivered.
    Bookmark,
}

impl EventKind {
    /// The `type` of the frame.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
            EventKind::Bookmark => "BOOKMARK",
        }
    }
}

/// One event, shared by all watchers that receive it.
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object that the event shows. For a bookmark an object with nothing but metadata.
    pub object: Arc<Object>,
    frame: OnceLock<Bytes>,
    encodings: Slots,
}

impl Event {
    pub(crate) fn new(kind: EventKind, object: Arc<Object>) -> Arc<Self> {
        Arc::new(Self { kind, object, frame: OnceLock::new(), encodings: Slots::default() })
    }

    /// The revision of the event: the `metadata.resourceVersion` of its object.
    pub fn revision(&self) -> i64 {
        self.object.revision()
    }

    /// The frame of a JSON watch in the stored version, with its newline; made once.
    pub fn frame(&self) -> &Bytes {
        self.frame.get_or_init(|| {
            let head = kind_head(self.object.config());
            let parts: [&[u8]; 6] = [
                br#"{"type":""#,
                self.kind.as_str().as_bytes(),
                br#"","object":"#,
                head.as_bytes(),
                &self.object.json()[1..],
                b"}\n",
            ];
            parts.concat().into()
        })
    }

    /// Frames in other encodings, made once and shared.
    pub fn encodings(&self) -> &Slots {
        &self.encodings
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("kind", &self.kind).field("object", &self.object).finish()
    }
}
