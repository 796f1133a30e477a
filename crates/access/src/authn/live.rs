//! Reading the few fields of live objects that authentication goes by.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{Lookup, ObjectRef};

/// How long after its deletion began an object still counts, so that a pod may finish its own end.
const DELETION_LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The metadata of any object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) uid: String,
    pub(super) deletion_timestamp: Option<Timestamp>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

impl Metadata {
    /// Whether the object counts as deleted at `now`.
    pub(super) fn deleted(&self, now: Timestamp) -> bool {
        self.deletion_timestamp.is_some_and(|since| since < now - DELETION_LEEWAY)
    }
}

/// What is read of service accounts and nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
}

/// What is read of pods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: String,
    pub(super) service_account_name: String,
}

/// What is read of secrets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Secret {
    pub(super) metadata: Metadata,
    #[serde(rename = "type")]
    pub(super) kind: String,
    data: Option<BTreeMap<String, String>>,
}

impl Secret {
    /// A value, decoded; `None` when it is absent or not text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        use base64::Engine as _;
        let encoded = self.data.as_ref()?.get(key)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// The present form of an object, or `None` when it does not exist or cannot be read.
pub(super) async fn get<T: for<'de> Deserialize<'de>>(
    lookup: &dyn Lookup,
    object: ObjectRef<'_>,
) -> Option<T> {
    let json = lookup.get(object).await?;
    match serde_json::from_slice(&json) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(?object, %error, "stored object cannot be read; treating it as absent");
            None
        }
    }
}

/// Compares secrets in a time that does not depend on where they differ.
pub(super) fn same_secret(a: &str, b: &str) -> bool {
    let differing = a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y));
    std::hint::black_box(differing) == 0 && a.len() == b.len()
}
