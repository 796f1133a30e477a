//! `metadata.managedFields`: who set which field (KEP-555).

use api_types::apply::FieldManager;
use api_types::decode;
use api_types::resource::ResourceInfo;
use jiff::Timestamp;
use serde_json::Value;

use super::strategies;
use super::{Endpoint, meta};

/// The field managers of a resource: for the object itself and for each subresource that writes it.
pub struct Managers {
    object: FieldManager,
    status: FieldManager,
    other: Vec<(String, FieldManager)>,
}

impl Managers {
    /// For a row.
    pub fn new(info: &ResourceInfo) -> Self {
        let manager = |subresource: &str| {
            FieldManager::new(info.schema.clone(), &info.api_version(), &info.kind, subresource)
        };
        let mut object = manager("");
        if info.subresource("status").is_some() {
            object = object.with_reset_fields(["status"]);
        }
        if &*info.plural == "certificatesigningrequests" {
            object = object.with_reset_fields(["spec"]);
        }
        let others = info.subresources.iter().filter(|sub| sub.name != "status");
        Managers {
            object,
            status: manager("status").with_reset_fields(strategies::status_reset_fields(info)),
            other: others
                .map(|sub| {
                    (
                        sub.name.to_string(),
                        manager(&sub.name).with_reset_fields(reset_fields(&sub.name).iter().copied()),
                    )
                })
                .collect(),
        }
    }

    /// The manager for a subresource, "" for the object itself.
    pub fn of(&self, subresource: &str) -> &FieldManager {
        match subresource {
            "status" => &self.status,
            _ => self
                .other
                .iter()
                .find(|(name, _)| name == subresource)
                .map_or(&self.object, |(_, manager)| manager),
        }
    }
}

/// What a subresource other than `status` does not change.
fn reset_fields(subresource: &str) -> &'static [&'static str] {
    match subresource {
        "finalize" => &["status"],
        "approval" => &["spec", "status.certificate"],
        _ => &[],
    }
}

/// Records that `manager` set what differs between the stored object and the new one.
pub fn on_update(
    endpoint: &Endpoint,
    old: Option<&Value>,
    object: &mut Value,
    manager: &str,
    subresource: &str,
) {
    if endpoint.info.is_custom() && !endpoint.is_hub() && is_lost(endpoint, object) {
        return meta::set(object, "managedFields", None);
    }
    endpoint.managers().of(subresource).update(old, object, manager, Timestamp::now());
    if meta::field(object, "managedFields").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        meta::set(object, "managedFields", None);
    }
    settle_empty(endpoint, object);
}

/// From here on an empty list is what it will be when it has been stored; its owner has been recorded.
pub fn settle_empty(endpoint: &Endpoint, object: &mut Value) {
    if endpoint.is_stored_as_protobuf() {
        api_types::decode::to_stored_form(&endpoint.info.schema, object);
    }
}

/// Whether owners recorded in the stored version could no longer be told: the object has fields that this version does
/// not know. Upstream gives up the record then.
fn is_lost(endpoint: &Endpoint, object: &Value) -> bool {
    let stored = endpoint.hub.api_version();
    let entries = meta::field(object, "managedFields").and_then(Value::as_array);
    let recorded = entries.into_iter().flatten().any(|entry| entry["apiVersion"] == *stored);
    recorded && !decode::prune(&endpoint.hub.schema, &mut object.clone()).is_empty()
}
