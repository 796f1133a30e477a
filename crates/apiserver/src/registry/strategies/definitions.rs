//! CustomResourceDefinitions: the versions that were ever stored, and the beginning of their deletion.

use access::UserInfo;
use api_types::field::ErrorList;
use serde_json::{Value, json};

use crate::custom::CLEANUP;
use crate::registry::meta;
use crate::registry::strategy::{Base, Strategy};

/// The strategy of CustomResourceDefinitions.
pub struct Definitions {
    base: Base,
}

impl Definitions {
    /// With these traits.
    pub fn new(base: Base) -> Self {
        Definitions { base }
    }
}

impl Strategy for Definitions {
    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        self.base.clear_status(object);
        remember_stored_version(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        self.base.keep_status(object, old);
        remember_stored_version(object);
    }

    fn check_rules(&self, object: &Value, old: Option<&Value>, found: &ErrorList) -> ErrorList {
        match found.is_empty() {
            true => crate::custom::validate_rules(object, old),
            false => ErrorList::new(),
        }
    }

    fn deletion_finalizer(&self) -> Option<&'static str> {
        Some(CLEANUP)
    }

    fn begin_deletion(&self, object: &mut Value, old: &Value) {
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        crate::custom::set_condition(object, "Terminating", true, "InstanceDeletionPending", message);
        meta::set(object, "deletionGracePeriodSeconds", None);
        // What is defined is as it was.
        meta::keep(object, old, "generation");
    }
}

/// Objects may be stored in every version that was ever the storage version; only an administrator knows when they no
/// longer are.
fn remember_stored_version(object: &mut Value) {
    let versions = object["spec"]["versions"].as_array();
    let stored = versions.into_iter().flatten().find(|version| version["storage"] == true);
    let Some(stored) = stored.map(|version| version["name"].clone()) else { return };
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    let known = &mut object["status"]["storedVersions"];
    match known.as_array_mut() {
        Some(known) if known.contains(&stored) => {}
        Some(known) => known.push(stored),
        None => *known = json!([stored]),
    }
}
