//! A row for every served resource: where it is, what may be done with it, how it is stored and shown.
//!
//! Built-in rows come from `schema/resources.jsonl`; a CustomResourceDefinition makes the same row at run time.

mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::schema::SchemaRef;

pub use table::{builtin, find, find_kind, groups};

/// Text that is static for built-in rows and owned for custom ones.
pub type Text = Cow<'static, str>;

/// What a resource is.
#[derive(Debug, Clone)]
pub struct ResourceInfo {
    /// API group; empty for the core group.
    pub group: Text,
    /// Served version.
    pub version: Text,
    /// Name in URLs.
    pub plural: Text,
    /// Name for one object.
    pub singular: Text,
    /// Kind of an object.
    pub kind: Text,
    /// Kind of a list.
    pub list_kind: Text,
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// Verbs in discovery's (sorted) order.
    pub verbs: Vec<Text>,
    /// Short names for clients.
    pub short_names: Vec<Text>,
    /// Groups of resources that clients know (`all`).
    pub categories: Vec<Text>,
    /// `status`, `scale`, `log`, …
    pub subresources: Vec<Subresource>,
    /// etcd prefix without a slash at the end: `/registry/pods`, `/registry/minions`. Empty when nothing is stored.
    pub key_prefix: Text,
    /// `apiVersion` of stored values.
    pub stored_api_version: Text,
    /// `kind` of stored values.
    pub stored_kind: Text,
    /// Fields that field selectors may name.
    pub selectable_fields: Vec<SelectableField>,
    /// Columns of the Table form.
    pub columns: Vec<Column>,
    /// The type.
    pub schema: SchemaRef,
    /// Served without `--runtime-config`.
    pub served_by_default: bool,
    /// Discovery's `storageVersionHash`.
    pub storage_version_hash: Text,
    /// What only a CustomResourceDefinition says; `None` for built-in resources.
    pub custom: Option<Arc<Custom>>,
}

/// What a CustomResourceDefinition says about one of its versions beyond what built-in rows have.
#[derive(Debug, Clone, Default)]
pub struct Custom {
    /// Tells this state of the definition from others: its uid and generation.
    pub revision: String,
    /// What users of the version are warned with; empty when it is not deprecated.
    pub deprecation: String,
    /// A webhook converts between the versions; otherwise they differ in nothing but the name.
    pub converted: bool,
    /// Where the scale subresource finds the replicas.
    pub scale: Option<ScalePaths>,
    /// The definition is being deleted: nothing new is created.
    pub terminating: Arc<AtomicBool>,
}

impl Custom {
    /// Whether the definition is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::Acquire)
    }
}

/// Dotted paths of the fields that a scale subresource reads and writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec_replicas: String,
    /// Present replicas.
    pub status_replicas: String,
    /// The pods' label selector as text; empty when the resource has none.
    pub label_selector: String,
}

/// A subresource of a resource.
#[derive(Debug, Clone)]
pub struct Subresource {
    /// Path element after the object's name.
    pub name: Text,
    /// Group of the body; the parent's when the same.
    pub group: Text,
    /// Version of the body.
    pub version: Text,
    /// Kind of the body.
    pub kind: Text,
    /// Verbs in discovery's order.
    pub verbs: Vec<Text>,
}

/// A field that field selectors may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectableField {
    /// Name in the selector (`spec.nodeName`, `status.successful`).
    pub label: Text,
    /// Dotted JSON path that it reads in the served version.
    pub path: Text,
}

/// A column of the Table form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: Text,
    /// `string`, `integer`, `date`, …
    pub type_: Text,
    /// `name` or empty.
    pub format: Text,
    /// 0 is shown always, others with `-o wide`.
    pub priority: i32,
    /// JSON path of custom columns; empty for built-in ones, which code prints.
    pub json_path: Text,
    /// Description shown by clients; empty for built-in ones.
    pub description: Text,
}

/// A group and its versions in discovery's order, preferred version first.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name; empty for the core group.
    pub name: &'static str,
    /// Versions, most preferred first, and whether each is served by default.
    pub versions: Vec<GroupVersion>,
}

/// A version of a group and its resources in discovery's order.
#[derive(Debug, Clone)]
pub struct GroupVersion {
    /// Version.
    pub version: &'static str,
    /// Served without `--runtime-config`.
    pub served_by_default: bool,
    /// Its rows in the order of discovery documents (sorted by plural).
    pub resources: Vec<Arc<ResourceInfo>>,
}

impl ResourceInfo {
    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether a CustomResourceDefinition made the row.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// `deployments.apps`, or `pods` for the core group: how messages name the resource.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether the verb is served.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}
