//! A CustomResourceDefinition as far as serving it needs: everything but the schemas, which stay bytes until somebody
//! uses the resource.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Finalizer of definitions whose objects have to be deleted first.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// A definition.
#[derive(Debug, Clone, Deserialize)]
pub struct Definition {
    pub metadata: Metadata,
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
    /// The whole object.
    #[serde(skip)]
    pub raw: Bytes,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    #[serde(default)]
    pub generation: i64,
    pub deletion_timestamp: Option<String>,
    #[serde(default)]
    pub finalizers: Vec<String>,
    #[serde(default)]
    pub annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    pub group: String,
    pub names: Names,
    pub scope: String,
    #[serde(default)]
    pub versions: Vec<Version>,
    #[serde(default)]
    pub preserve_unknown_fields: bool,
    pub conversion: Option<Conversion>,
}

/// The names of a resource, asked for or accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Names {
    pub plural: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub singular: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short_names: Vec<String>,
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub list_kind: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub name: String,
    #[serde(default)]
    pub served: bool,
    #[serde(default)]
    pub storage: bool,
    #[serde(default)]
    pub deprecated: bool,
    pub deprecation_warning: Option<String>,
    #[serde(default)]
    pub subresources: Option<Subresources>,
    #[serde(default)]
    pub additional_printer_columns: Vec<Column>,
    #[serde(default)]
    pub selectable_fields: Vec<Selectable>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Subresources {
    pub status: Option<IgnoredAny>,
    pub scale: Option<Scale>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    #[serde(default)]
    pub spec_replicas_path: String,
    #[serde(default)]
    pub status_replicas_path: String,
    #[serde(default)]
    pub label_selector_path: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub type_: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub priority: i32,
    pub json_path: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selectable {
    pub json_path: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversion {
    #[serde(default)]
    pub strategy: String,
    #[serde(default)]
    pub webhook: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(default)]
    pub accepted_names: Names,
    #[serde(default)]
    pub conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
}

impl Definition {
    /// Reads an object as the cache holds it.
    ///
    /// # Errors
    /// It has not the form of a definition.
    pub fn parse(raw: &Bytes) -> Result<Self, serde_json::Error> {
        let mut definition: Definition = serde_json::from_slice(raw)?;
        definition.raw = raw.clone();
        Ok(definition)
    }

    /// A condition of the status.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.status.conditions.iter().flatten().find(|condition| condition.type_ == type_)
    }

    /// Whether a condition is there and true.
    pub fn is_true(&self, type_: &str) -> bool {
        self.condition(type_).is_some_and(|condition| condition.status == "True")
    }

    /// Whether the resource is served: its names were accepted, or were once.
    pub fn is_served(&self) -> bool {
        !self.status.accepted_names.plural.is_empty()
            && (self.is_true("NamesAccepted") || self.is_true("Established"))
    }

    /// Whether the definition is being deleted and waits for its objects to go.
    pub fn wants_cleanup(&self) -> bool {
        self.metadata.deletion_timestamp.is_some() && self.metadata.finalizers.iter().any(|f| f == CLEANUP)
    }

    /// The version in which objects are stored.
    pub fn storage_version(&self) -> Option<&Version> {
        self.spec.versions.iter().find(|version| version.storage)
    }

    /// The schema of a version as written.
    ///
    /// # Errors
    /// It has not the form of a definition.
    pub fn schema(&self, version: &str) -> Result<Option<Value>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            spec: Spec<'a>,
        }
        #[derive(Deserialize)]
        struct Spec<'a> {
            #[serde(borrow, default)]
            versions: Vec<Version<'a>>,
        }
        #[derive(Deserialize)]
        struct Version<'a> {
            name: String,
            #[serde(borrow, default)]
            schema: Option<&'a RawValue>,
        }
        let object: Object<'_> = serde_json::from_slice(&self.raw)?;
        let found = object.spec.versions.into_iter().find(|candidate| candidate.name == version);
        let Some(raw) = found.and_then(|found| found.schema) else { return Ok(None) };
        let mut schema: Value = serde_json::from_str(raw.get())?;
        Ok(schema.get_mut("openAPIV3Schema").map(Value::take).filter(|schema| !schema.is_null()))
    }
}
