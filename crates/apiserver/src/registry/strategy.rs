//! What one resource adds to the generic registry.
//!
//! Most resources are described by [`Traits`] alone, which a table in `strategies` fills in. A resource with rules that
//! are code (allocation, derived fields, its own status rules) implements [`Strategy`].

use access::UserInfo;
use api_types::decode;
use api_types::field::ErrorList;
use api_types::resource::ResourceInfo;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::options::DeleteOptions;
use super::{Registry, meta};
use crate::error;

/// When `metadata.generation` grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The resource has none.
    None,
    /// 1 at creation, one more with every change of `spec`.
    Spec,
    /// 1 at creation, one more with every change of `spec` or of the annotations.
    SpecAndAnnotations,
    /// 1 at creation, one more with every change outside `metadata` and `status`.
    Content,
    /// 1 at creation, one more with every change outside `metadata`, of the status too.
    ContentAndStatus,
    /// 1 at creation, one more with every change outside `metadata` and of the labels.
    ContentAndLabels,
    /// Absent at creation, one more with every change of `spec`.
    SpecChanges,
    /// 1 at creation and for ever.
    Constant,
}

/// What happens to dependents when a deletion does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependents {
    /// The garbage collector removes them afterwards.
    Background,
    /// They stay.
    Orphan,
    /// The resource has none, and no finalizer is ever added.
    Unsupported,
}

/// The rules that most resources differ in.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// When the generation grows.
    pub generation: Generation,
    /// A PUT of an absent object creates it.
    pub create_on_update: bool,
    /// An update without a resource version overwrites whatever is stored.
    pub unconditional_update: bool,
    /// Dependents at deletion.
    pub dependents: Dependents,
    /// A deletion answers with the object instead of a Status.
    pub returns_deleted: bool,
    /// The status subresource keeps the stored labels.
    pub status_keeps_labels: bool,
    /// The status subresource keeps the whole stored metadata but `managedFields`.
    pub status_keeps_metadata: bool,
}

impl Traits {
    /// What holds for a resource that the table does not list.
    pub const DEFAULT: Traits = Traits {
        generation: Generation::None,
        create_on_update: false,
        unconditional_update: true,
        dependents: Dependents::Background,
        returns_deleted: false,
        status_keeps_labels: false,
        status_keeps_metadata: false,
    };
}

/// A reservation made for a write (an IP, a port): kept when the write is stored, given back when dropped.
pub trait Reservation: Send {
    /// The object was stored; what it no longer uses may be given back.
    fn commit(self: Box<Self>);
}

/// What every strategy has: the traits, and what the resource's status looks like when nothing is known.
pub struct Base {
    /// The rules that are data.
    pub traits: Traits,
    has_status: bool,
    empty_status: Option<Value>,
}

impl Base {
    /// For a row.
    pub fn new(info: &ResourceInfo, traits: Traits) -> Self {
        let has_status = info.subresource("status").is_some();
        let custom = info.is_custom();
        let empty = (has_status && !custom).then(|| decode::normalize(&info.schema, json!({})));
        let empty_status =
            empty.and_then(Result::ok).and_then(|mut empty| empty.get_mut("status").map(Value::take));
        Base { traits, has_status, empty_status }
    }

    /// Makes `status` that of an object about which nothing is known.
    pub fn clear_status(&self, object: &mut Value) {
        let (true, Some(map)) = (self.has_status, object.as_object_mut()) else { return };
        match &self.empty_status {
            Some(status) => map.insert("status".into(), status.clone()),
            None => map.remove("status"),
        };
    }

    /// Makes `status` what it is in `old`.
    pub fn keep_status(&self, object: &mut Value, old: &Value) {
        if self.has_status {
            keep_field(object, old, "status");
        }
    }
}

/// What one resource adds to the generic registry. Objects are in the served version, without `kind` and `apiVersion`.
#[async_trait]
pub trait Strategy: Send + Sync {
    /// The rules that are data.
    fn base(&self) -> &Base;

    /// The traits among them.
    fn traits(&self) -> &Traits {
        &self.base().traits
    }

    /// Completes an object as it comes in, before anybody is said to own its fields.
    fn receive(&self, _object: &mut Value) {}

    /// Clears what a client may not set at creation. Name and uid are there already.
    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        self.base().clear_status(object);
    }

    /// Keeps what a client may not change by an update of the object itself.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        self.base().keep_status(object, old);
    }

    /// Keeps everything that a client may not change through a subresource that is a part of the object.
    fn prepare_subresource_update(&self, subresource: &str, object: &mut Value, old: &Value) {
        // A scale changes the replicas alone, and has made sure of it.
        if subresource != "scale" {
            keep_all_but_status(object, old, self.traits());
        }
    }

    /// Rules beyond those that `api_types::validation` knows for the kind.
    fn validate_create(&self, _object: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// Rules beyond those that `api_types::validation` knows for the kind; `subresource` is "" for the object itself.
    fn validate_update(&self, _subresource: &str, _object: &Value, _old: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// Rules that are asked last, knowing what was found already. `old` is `None` at creation.
    fn check_rules(&self, _object: &Value, _old: Option<&Value>, _found: &ErrorList) -> ErrorList {
        ErrorList::new()
    }

    /// Texts for Warning headers. `old` is `None` at creation.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Texts for Warning headers at deletion.
    fn delete_warnings(&self, _options: &DeleteOptions) -> Vec<String> {
        Vec::new()
    }

    /// For resources with graceful deletion: the seconds that the object has to end; `None` for resources without.
    fn grace_period(&self, _object: &Value, _options: &DeleteOptions) -> Option<i64> {
        None
    }

    /// Whether a deletion also waits for what the object itself says (`spec.finalizers` of namespaces).
    fn holds_back_deletion(&self, _object: &Value) -> bool {
        false
    }

    /// A finalizer that every object gets when its deletion begins.
    fn deletion_finalizer(&self) -> Option<&'static str> {
        None
    }

    /// Changes an object that starts to be deleted and is not removed at once.
    fn begin_deletion(&self, _object: &mut Value, _old: &Value) {}

    /// Reserves what the object needs and writes it into the object. `old` is `None` at creation.
    ///
    /// # Errors
    /// The reservation is impossible; the message is for the client.
    async fn reserve(
        &self,
        _registry: &Registry,
        _object: &mut Value,
        _old: Option<&Value>,
        _dry_run: bool,
    ) -> error::Result<Option<Box<dyn Reservation>>> {
        Ok(None)
    }

    /// The object was removed from storage.
    async fn after_delete(&self, _registry: &Registry, _object: &Value) {}
}

/// Makes a top-level field what it is in `old`.
pub fn keep_field(object: &mut Value, old: &Value, key: &str) {
    let Some(map) = object.as_object_mut() else { return };
    match old.get(key) {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
}

/// Everything but `status` and what the traits allow of `metadata` becomes what it is in `old`.
pub fn keep_all_but_status(object: &mut Value, old: &Value, traits: &Traits) {
    let status = object.get("status").cloned();
    let metadata = object.get("metadata").cloned();
    *object = old.clone();
    if let Some(map) = object.as_object_mut() {
        match status {
            Some(status) => map.insert("status".into(), status),
            None => map.remove("status"),
        };
    }
    let Some(metadata) = metadata else { return };
    if traits.status_keeps_metadata {
        meta::set(object, "managedFields", metadata.get("managedFields").cloned());
        return;
    }
    object["metadata"] = metadata;
    if traits.status_keeps_labels {
        meta::keep(object, old, "labels");
    }
}

/// Raises the generation as `rule` says; `object` has the stored generation.
pub fn advance_generation(rule: Generation, object: &mut Value, old: &Value) {
    let changed = match rule {
        Generation::None | Generation::Constant => false,
        Generation::Spec | Generation::SpecChanges => object.get("spec") != old.get("spec"),
        Generation::SpecAndAnnotations => {
            object.get("spec") != old.get("spec")
                || meta::field(object, "annotations") != meta::field(old, "annotations")
        }
        Generation::Content => content_changed(object, old),
        Generation::ContentAndStatus => {
            content_changed(object, old) || object.get("status") != old.get("status")
        }
        Generation::ContentAndLabels => {
            content_changed(object, old) || meta::field(object, "labels") != meta::field(old, "labels")
        }
    };
    if changed {
        meta::set(object, "generation", Some((meta::generation(old) + 1).into()));
    }
}

fn content_changed(object: &Value, old: &Value) -> bool {
    let (Some(object), Some(old)) = (object.as_object(), old.as_object()) else { return object != old };
    let counts = |key: &str| !matches!(key, "metadata" | "status" | "kind" | "apiVersion");
    let differs = |a: &serde_json::Map<String, Value>, b: &serde_json::Map<String, Value>| {
        a.iter().any(|(key, value)| counts(key) && b.get(key) != Some(value))
    };
    differs(object, old) || differs(old, object)
}
