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
        agree_on_source(object);
    }

    fn prepare_subresource_update(&self, _subresource: &str, object: &mut Value, old: &Value) {
        keep_field(object, old, "spec");
    }
}

/// The old and the new field for a claim's content say the same (KEP-1495), unless the new one names another namespace.
/// The old one knows claims and snapshots only.
fn agree_on_source(claim: &mut Value) {
    let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let is_old_kind = |source: &Value| match source["kind"].as_str() {
        Some("PersistentVolumeClaim") => source["apiGroup"].as_str().unwrap_or_default().is_empty(),
        Some("VolumeSnapshot") => source["apiGroup"] == "snapshot.storage.k8s.io",
        _ => false,
    };
    let has_reference = spec.get("dataSourceRef").is_some_and(|reference| !reference.is_null());
    if !has_reference
        && spec.get("dataSource").is_some_and(|source| !source.is_null() && !is_old_kind(source))
    {
        spec.remove("dataSource");
    }
    let present = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    match (present(spec.get("dataSource")), present(spec.get("dataSourceRef"))) {
        (Some(source), None) => spec.insert("dataSourceRef".into(), source),
        (None, Some(source)) if source.get("namespace").is_none() => spec.insert("dataSource".into(), source),
        _ => None,
    };
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
