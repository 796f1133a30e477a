//! Ownership of a workload's replicas, as the owners of its Scale see it.
//!
//! A Scale is not stored: who owns its `spec.replicas` is who owns the field of the object that it stands for. Before a
//! write the object's entries are read as those of the Scale, and after it the Scale's entries go back into the object's.

use serde_json::Value;

use super::managed::{Entry, Managed};
use super::set::Set;

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_REPLICAS: &str = "spec.replicas";

/// The translation for one resource.
#[derive(Debug, Clone)]
pub struct ScaleOwners {
    api_version: String,
    replicas: Set,
}

impl ScaleOwners {
    /// For objects of a version that keep their replicas at a dotted path.
    pub fn new(api_version: &str, replicas_path: &str) -> Self {
        Self { api_version: api_version.to_owned(), replicas: Set::of_fields([replicas_path]) }
    }

    /// `metadata.managedFields` of the Scale of an object with these entries.
    pub fn of_scale(&self, object: Option<&Value>) -> Option<Value> {
        let owners = Managed::from_value(object).unwrap_or_default().entries.into_iter();
        let owners = owners.filter(|entry| self.is_ours(entry) && self.owns(entry));
        let entries = owners.map(|entry| Entry {
            api_version: SCALE_VERSION.to_owned(),
            fields: Set::of_fields([SCALE_REPLICAS]),
            ..entry
        });
        Managed { entries: entries.collect() }.to_value()
    }

    /// `metadata.managedFields` of the object with these entries, after its Scale has come to have those of `scale`.
    ///
    /// Upstream keeps no time for owners that a Scale brings in; an owner that still is one keeps its own.
    pub fn of_object(&self, object: Option<&Value>, scale: Option<&Value>) -> Option<Value> {
        let mut owners = Managed::from_value(scale).unwrap_or_default().entries;
        let wanted = Set::of_fields([SCALE_REPLICAS]);
        owners.retain(|entry| !entry.fields.intersection(&wanted).is_empty());
        for entry in &mut owners {
            entry.api_version.clone_from(&self.api_version);
        }
        let mut entries = Managed::from_value(object).unwrap_or_default().entries;
        for entry in entries.iter_mut().filter(|entry| self.is_ours(entry) && self.owns(entry)) {
            match owners.iter().position(|owner| owner.same_manager(entry)) {
                Some(still) => {
                    owners.swap_remove(still);
                }
                None => entry.fields = entry.fields.difference(&self.replicas),
            }
        }
        entries.retain(|entry| !entry.fields.is_empty());
        for owner in owners {
            match entries.iter_mut().find(|entry| entry.same_manager(&owner)) {
                Some(entry) => entry.fields.add(&self.replicas),
                None => entries.push(Entry { fields: self.replicas.clone(), time: None, ..owner }),
            }
        }
        Managed { entries }.to_value()
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        entry.api_version == self.api_version
    }

    fn owns(&self, entry: &Entry) -> bool {
        !entry.fields.intersection(&self.replicas).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn replicas_pass_between_an_object_and_its_scale() {
        let owners = ScaleOwners::new("apps/v1", "spec.replicas");
        let entry = |manager: &str, operation: &str, version: &str, fields: Value| {
            json!({
                "manager": manager, "operation": operation, "apiVersion": version, "time": "2024-01-01T00:00:00Z",
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            })
        };
        let both = json!({"f:spec": {"f:replicas": {}, "f:selector": {}}});
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let object = json!([entry("a", "Apply", "apps/v1", both.clone())]);

        let scale = owners.of_scale(Some(&object)).unwrap();
        assert_eq!(scale, json!([entry("a", "Apply", SCALE_VERSION, replicas.clone())]));
        assert_eq!(owners.of_object(Some(&object), Some(&scale)).unwrap(), object);

        let taken = json!([entry("hpa", "Update", SCALE_VERSION, replicas.clone())]);
        let after = owners.of_object(Some(&object), Some(&taken)).unwrap();
        assert_eq!(after[0]["fieldsV1"], json!({"f:spec": {"f:selector": {}}}));
        assert_eq!((&after[1]["manager"], &after[1]["apiVersion"]), (&json!("hpa"), &json!("apps/v1")));
        assert_eq!((&after[1]["fieldsV1"], &after[1]["time"]), (&replicas, &Value::Null));

        assert_eq!(owners.of_scale(Some(&json!([entry("b", "Update", "apps/v1beta1", both)]))), None);
    }
}
