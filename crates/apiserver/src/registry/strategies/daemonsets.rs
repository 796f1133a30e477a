//! DaemonSets: a generation of the pod template, kept in an annotation for clients of old versions.

use access::UserInfo;
use serde_json::{Value, json};

use crate::registry::meta;
use crate::registry::strategy::{Base, Strategy, keep_all_but_status};

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// DaemonSets.
pub struct DaemonSets {
    base: Base,
}

impl DaemonSets {
    /// The strategy of daemon sets.
    pub fn new(base: Base) -> Self {
        DaemonSets { base }
    }
}

impl Strategy for DaemonSets {
    fn base(&self) -> &Base {
        &self.base
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::template(object, old)
    }

    fn receive(&self, object: &mut Value) {
        if template_generation(object).is_none() {
            set_template_generation(object, 0);
        }
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        self.base.clear_status(object);
        set_template_generation(object, 1);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        self.base.keep_status(object, old);
        let changed = object["spec"]["template"] != old["spec"]["template"];
        set_template_generation(object, template_generation(old).unwrap_or(0) + i64::from(changed));
    }

    fn prepare_subresource_update(&self, _subresource: &str, object: &mut Value, old: &Value) {
        keep_all_but_status(object, old, self.traits());
        set_template_generation(object, template_generation(old).unwrap_or(0));
    }
}

fn template_generation(object: &Value) -> Option<i64> {
    meta::field(object, "annotations")?.get(TEMPLATE_GENERATION)?.as_str()?.parse().ok()
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let annotations = meta::map(object).entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(TEMPLATE_GENERATION.into(), generation.to_string().into());
    }
}
