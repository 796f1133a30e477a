//! Persistent volumes and claims.

use access::UserInfo;
use serde_json::{Value, json};

use crate::registry::meta;
use crate::registry::strategy::{Base, Strategy, keep_field};

/// Claims: they begin as pending.
pub struct Claims {
    base: Base,
}

impl Claims {
    /// The strategy of claims.
    pub fn new(base: Base) -> Self {
        Claims { base }
    }
}

impl Strategy for Claims {
    fn base(&self) -> &Base {
        &self.base
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::claim(object, old)
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        object["status"] = json!({ "phase": "Pending" });
    }

    fn prepare_subresource_update(&self, _subresource: &str, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
    }
}

/// Volumes: they begin as pending, and their status says since when its phase holds (KEP-3762).
pub struct Volumes {
    base: Base,
}

impl Volumes {
    /// The strategy of volumes.
    pub fn new(base: Base) -> Self {
        Volumes { base }
    }
}

impl Strategy for Volumes {
    fn base(&self) -> &Base {
        &self.base
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::volume(object, old)
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        object["status"] = json!({ "phase": "Pending", "lastPhaseTransitionTime": meta::now() });
    }

    fn prepare_subresource_update(&self, _subresource: &str, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
        let (new, before) = (&object["status"], &old["status"]);
        if new["phase"] != before["phase"] {
            if new["lastPhaseTransitionTime"].is_null()
                || new["lastPhaseTransitionTime"] == before["lastPhaseTransitionTime"]
            {
                object["status"]["lastPhaseTransitionTime"] = meta::now().into();
            }
        } else if new["lastPhaseTransitionTime"].is_null() && !before["lastPhaseTransitionTime"].is_null() {
            object["status"]["lastPhaseTransitionTime"] = before["lastPhaseTransitionTime"].clone();
        }
    }
}
