use jiff::Timestamp;
use serde_json::{Map, Value};

use super::compare::{Comparison, compare};
use super::conflict::{Conflict, conflict_error};
use super::managed::{Entry, Managed, Operation};
use super::merge::merge;
use super::prune::{is_applied, prune};
use super::set::Set;
use super::to_set::field_set;
use super::typed;
use crate::schema::{Field, Kind, Schema, SchemaRef};
use crate::status::ApiError;
use crate::time;

/// More updaters than this on one object are merged into [`ANCIENT`].
const MAX_UPDATERS: usize = 10;
/// Manager of the merged oldest updates.
const ANCIENT: &str = "ancient-changes";
/// Manager of what an object held when it was first applied to.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The applier whose client-side configuration is taken over.
const KUBECTL: &str = "kubectl";
/// Where client-side apply keeps its last configuration.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotations of one object together may not be larger than this.
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// Fields that are the server's own; nobody manages them.
const SYSTEM_FIELDS: [&str; 11] = [
    "apiVersion",
    "kind",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

/// Tracks field ownership for one resource in one version, through one endpoint.
#[derive(Debug, Clone)]
pub struct FieldManager {
    schema: SchemaRef,
    api_version: String,
    kind: String,
    subresource: String,
    ignored: Set,
    empty: Value,
}

impl FieldManager {
    /// For objects of this type; `subresource` is empty for the object's own endpoint.
    pub fn new(schema: SchemaRef, api_version: &str, kind: &str, subresource: &str) -> Self {
        let mut empty = zero_value(&schema);
        if let Some(map) = empty.as_object_mut() {
            map.insert("apiVersion".into(), api_version.into());
            map.insert("kind".into(), kind.into());
        }
        Self {
            schema,
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            subresource: subresource.to_owned(),
            ignored: Set::of_fields(SYSTEM_FIELDS),
            empty,
        }
    }

    /// Adds fields that this endpoint resets and so nobody comes to own through it, such as `status`.
    pub fn with_reset_fields(mut self, paths: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.ignored.add(&Set::of_fields(paths));
        self
    }

    /// Records in `new.metadata.managedFields` what a create (`live` is none), update or patch by `manager` changes.
    pub fn update(&self, live: Option<&Value>, new: &mut Value, manager: &str, now: Timestamp) {
        let mut managed = self.managed_of(live, new);
        set_managed(new, None);
        let is_stored = live.is_some_and(|l| l.pointer("/metadata/uid").is_some());
        // An object that is not tracked stays so until it is applied to.
        if managed.entries.is_empty() && is_stored {
            return;
        }
        self.track(&mut managed, live.unwrap_or(&self.empty), new, manager, now);
        set_managed(new, managed.to_value());
    }

    /// Entries to go on from: those in the request when it states them (clients may edit the list through the
    /// object itself), else the stored ones.
    fn managed_of(&self, live: Option<&Value>, new: &Value) -> Managed {
        let stored = || Managed::from_value(live.and_then(managed_list)).unwrap_or_default();
        if !self.subresource.is_empty() {
            return stored();
        }
        let sent = managed_list(new);
        // An empty list, or one empty entry, ends the tracking of this object.
        match sent.and_then(Value::as_array).map(Vec::as_slice) {
            Some([]) => return Managed::default(),
            Some([Value::Object(only)]) if only.values().all(Value::is_null) => return Managed::default(),
            _ => {}
        }
        match Managed::from_value(sent) {
            Some(sent) if !sent.entries.is_empty() => sent,
            _ => stored(),
        }
    }

    fn track(&self, managed: &mut Managed, live: &Value, new: &Value, manager: &str, now: Timestamp) {
        let changes = compare(&self.schema, live, new).without(&self.ignored);
        if changes.is_same() {
            return;
        }
        for entry in &mut managed.entries {
            release(entry, &changes);
        }
        managed.entries.retain(|e| !e.fields.is_empty());
        let fields = strip_metadata(changes.modified.union(&changes.added));
        if fields.is_empty() {
            managed.cap_updaters(MAX_UPDATERS, ANCIENT);
            return;
        }
        let mut own = self.entry(manager, Operation::Update, fields);
        own.time = Some(time::format_seconds(now));
        match managed.entries.iter_mut().find(|e| e.same_manager(&own)) {
            Some(entry) => {
                entry.fields.add(&own.fields);
                entry.time = own.time;
            }
            None => managed.entries.push(own),
        }
        managed.cap_updaters(MAX_UPDATERS, ANCIENT);
    }

    fn entry(&self, manager: &str, operation: Operation, fields: Set) -> Entry {
        Entry {
            manager: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            operation,
            api_version: self.api_version.clone(),
            subresource: self.subresource.clone(),
            time: None,
            fields,
        }
    }

    /// Applies a configuration: the object as it would be stored, with its new `managedFields`. The caller applies
    /// defaults to it afterwards. `live` is none when the apply creates the object.
    ///
    /// Fails with 409 when it would change fields of other managers and `force` is not set, with 400 when the
    /// configuration is of another version or states `managedFields`, with 500 when it does not fit the schema.
    pub fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        manager: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Value, ApiError> {
        self.check(config)?;
        let mut managed = Managed::from_value(live.and_then(managed_list)).unwrap_or_default();
        let live = self.without_managed(live);
        if managed.entries.is_empty() && live != self.empty {
            self.track(&mut managed, &self.empty, &live, BEFORE_FIRST_APPLY, now);
        }
        let takes_over = manager == KUBECTL && last_applied(&live).is_some();
        let mut outcome = self.merge_into(&live, config, managed.clone(), manager, force);
        if let (true, Err(conflicts)) = (takes_over, &mut outcome) {
            let allowed = self.unchanged_since_last_applied(&live);
            for conflict in conflicts.iter_mut() {
                conflict.fields = conflict.fields.difference(&allowed);
            }
            conflicts.retain(|c| !c.fields.is_empty());
            if conflicts.is_empty() {
                outcome = self.merge_into(&live, config, managed, manager, true);
            }
        }
        let (changed, mut managed) = outcome.map_err(conflict_error)?;
        let own = self.entry(manager, Operation::Apply, Set::new());
        if changed.is_some()
            && let Some(entry) = managed.entries.iter_mut().find(|e| e.same_manager(&own))
        {
            entry.time = Some(time::format_seconds(now));
        }
        managed.cap_updaters(MAX_UPDATERS, ANCIENT);
        let mut object = changed.unwrap_or(live);
        set_managed(&mut object, managed.to_value());
        if takes_over {
            refresh_last_applied(&mut object, config);
        }
        Ok(object)
    }

    fn check(&self, config: &Value) -> Result<(), ApiError> {
        let text = |path| config.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let slash = if version.contains('/') { "" } else { "/" };
        if (version, kind) != (&*self.api_version, &*self.kind) {
            let found = format!("invalid object type: {slash}{version}, Kind={kind}");
            return Err(ApiError::bad_request(found));
        }
        if config.pointer("/metadata/managedFields").is_some_and(|v| !v.is_null()) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        typed::check(&self.schema, config).map_err(|why| {
            let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
            let what = format!("{namespace}/{name}; {slash}{version}, Kind={}", self.kind);
            ApiError::plain(500, "", format!("failed to create typed patch object ({what}): {why}"))
        })
    }

    /// The live object without its entries, with the type that stored objects do not repeat.
    fn without_managed(&self, live: Option<&Value>) -> Value {
        let mut out = live.unwrap_or(&self.empty).clone();
        set_managed(&mut out, None);
        if let Some(map) = out.as_object_mut() {
            map.insert("apiVersion".into(), self.api_version.as_str().into());
            map.insert("kind".into(), self.kind.as_str().into());
        }
        out
    }

    /// The merged object (`None` when nothing changes) and the entries after it.
    fn merge_into(
        &self,
        live: &Value,
        config: &Value,
        mut managed: Managed,
        manager: &str,
        force: bool,
    ) -> Result<(Option<Value>, Managed), Vec<Conflict>> {
        let merged = merge(&self.schema, live, config);
        let fields = strip_metadata(field_set(&self.schema, config).difference_recursive(&self.ignored));
        let mut own = self.entry(manager, Operation::Apply, fields);
        let mut last = Set::new();
        if let Some(previous) = managed.entries.extract_if(.., |e| e.same_manager(&own)).last() {
            last = previous.fields;
            own.time = previous.time;
        }
        managed.entries.push(own);
        let merged = prune(&self.schema, &merged, &last, &managed.entries, &self.ignored);
        let changes = compare(&self.schema, live, &merged).without(&self.ignored);
        let Some((own, others)) = managed.entries.split_last_mut() else { return Ok((None, managed)) };
        if !force {
            let conflicts = conflicts(others, &changes);
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        others.iter_mut().for_each(|entry| release(entry, &changes));
        debug_assert!(is_applied(own));
        managed.entries.retain(|e| !e.fields.is_empty());
        Ok(((merged != *live).then_some(merged), managed))
    }

    /// Fields whose live value is still what client-side apply last set: `kubectl` may take them over.
    fn unchanged_since_last_applied(&self, live: &Value) -> Set {
        let parsed = last_applied(live).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(config) =
            parsed.filter(|c| c.get("apiVersion").and_then(Value::as_str) == Some(&self.api_version))
        else {
            return Set::new();
        };
        let changes = compare(&self.schema, &config, live);
        field_set(&self.schema, &config)
            .difference(&changes.modified)
            .difference(&changes.added)
            .difference(&changes.removed)
    }
}

fn conflicts(others: &[Entry], changes: &Comparison) -> Vec<Conflict> {
    let changed = changes.modified.union(&changes.added);
    let found = others.iter().map(|entry| Conflict {
        fields: entry.fields.intersection(&changed),
        owner: Entry { fields: Set::new(), ..entry.clone() },
    });
    found.filter(|c| !c.fields.is_empty()).collect()
}

/// Takes from an entry what was changed or removed.
fn release(entry: &mut Entry, changes: &Comparison) {
    for gone in [&changes.modified, &changes.added, &changes.removed] {
        if !gone.is_empty() {
            entry.fields = entry.fields.difference(gone);
        }
    }
}

/// `metadata` itself is always there and owned by nobody.
fn strip_metadata(fields: Set) -> Set {
    fields.difference(&Set::of_fields(["metadata"]))
}

fn managed_list(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

fn set_managed(object: &mut Value, list: Option<Value>) {
    let Some(object) = object.as_object_mut() else { return };
    let Some(list) = list else {
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        return;
    };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("managedFields".to_owned(), list);
    }
}

fn last_applied(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()
}

/// Keeps the annotation of client-side apply in step, so that the user can go back to it.
fn refresh_last_applied(object: &mut Value, config: &Value) {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{config}\n");
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    let size: usize = annotations
        .iter()
        .filter(|(key, _)| *key != LAST_APPLIED)
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    let fits = size + LAST_APPLIED.len() + text.len() <= ANNOTATIONS_MAX;
    annotations.insert(LAST_APPLIED.to_owned(), Value::from(if fits { text } else { String::new() }));
}

/// Takes the stored `managedFields` when nothing but their times would change, so that a write without effect stays
/// one. Call it last, on the object as it would be stored.
pub fn keep_timestamps_if_unchanged(live: &Value, new: &mut Value) {
    let (Some(old), Some(list)) = (managed_list(live), managed_list(new)) else { return };
    if old == list || !equal_but_time(old, list) {
        return;
    }
    let same_elsewhere = |a: &Value, b: &Value| {
        let (mut a, mut b) = (a.clone(), b.clone());
        for object in [&mut a, &mut b] {
            set_managed(object, None);
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("resourceVersion");
            }
        }
        a == b
    };
    if same_elsewhere(live, new) {
        let old = old.clone();
        set_managed(new, Some(old));
    }
}

fn equal_but_time(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_array(), b.as_array()) else { return false };
    let strip = |list: &[Value]| -> Vec<Value> {
        let mut out = list.to_vec();
        for entry in out.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        out.sort_by_cached_key(Value::to_string);
        out
    };
    a.len() == b.len() && strip(a) == strip(b)
}

/// The object as Go would write it when nothing is set: fields that are never left out, with their zero values.
pub fn zero_value(schema: &Schema) -> Value {
    match &schema.kind {
        Kind::Struct(fields) => {
            let present = fields.fields.iter().filter(|f| {
                // `omitempty` does nothing for Go structs, and times are structs.
                let is_struct = matches!(f.schema.kind, Kind::Struct(_) | Kind::Time | Kind::MicroTime);
                let written = !f.omitempty || (is_struct && !f.pointer);
                !f.omitzero && written && f.schema.custom.is_none()
            });
            let zero = |f: &Field| if f.pointer { Value::Null } else { zero_value(&f.schema) };
            Value::Object(present.map(|f| (f.name.to_string(), zero(f))).collect())
        }
        Kind::Bool => Value::Bool(false),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::IntOrString => Value::from(0),
        Kind::Float32 | Kind::Float64 => Value::from(0),
        Kind::String | Kind::Duration => Value::from(""),
        Kind::Quantity => Value::from("0"),
        _ => Value::Null,
    }
}
