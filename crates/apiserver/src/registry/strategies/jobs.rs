//! Jobs: a selector of their own, made from their uid.

use access::UserInfo;
use serde_json::{Map, Value, json};

use crate::registry::meta;
use crate::registry::options::DeleteOptions;
use crate::registry::strategy::{Base, Strategy};

/// The label that a job's selector is made of.
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// Jobs.
pub struct Jobs {
    base: Base,
}

impl Jobs {
    /// The strategy of jobs.
    pub fn new(base: Base) -> Self {
        Jobs { base }
    }
}

impl Strategy for Jobs {
    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        self.base.clear_status(object);
        if object["spec"]["manualSelector"] != true {
            generate_selector(object);
        }
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::job(object, old)
    }

    fn delete_warnings(&self, options: &DeleteOptions) -> Vec<String> {
        if options.propagation.is_some() || options.orphan_dependents.is_some() {
            return Vec::new();
        }
        vec!["child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning".to_owned()]
    }
}

/// Pods are labelled with the job's name and uid, and selected by the uid.
fn generate_selector(job: &mut Value) {
    let (name, uid) = (meta::text(job, "name").to_owned(), meta::text(job, "uid").to_owned());
    let template = &mut job["spec"]["template"];
    let labels = meta::map(template).entry("labels").or_insert_with(|| Value::Object(Map::new()));
    if let Some(labels) = labels.as_object_mut() {
        for (key, value) in [
            ("controller-uid", &uid),
            ("job-name", &name),
            (CONTROLLER_UID, &uid),
            ("batch.kubernetes.io/job-name", &name),
        ] {
            labels.insert(key.into(), value.clone().into());
        }
    }
    // A job without labels has those of its pods.
    let unlabelled = meta::field(job, "labels").and_then(Value::as_object).is_none_or(Map::is_empty);
    if unlabelled {
        let labels = job.pointer("/spec/template/metadata/labels").cloned();
        meta::set(job, "labels", labels);
    }
    let selector = &mut job["spec"]["selector"];
    if selector.is_null() {
        *selector = json!({});
    }
    selector["matchLabels"][CONTROLLER_UID] = uid.into();
}
