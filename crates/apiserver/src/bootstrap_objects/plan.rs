//! What to do about one object, given what is there.

use serde_json::{Map, Value};

/// Annotation that keeps a role or binding up to date; `false` leaves it to the users.
const RBAC_AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// The same for flow schemas and priority levels.
const FLOW_CONTROL_AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// Flow-control objects that nobody may change.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];
/// Label of the APIServices that the server maintains.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// How an object that exists already is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Left as it is.
    CreateOnly,
    /// Missing rules, labels and annotations are added.
    Role,
    /// Missing subjects, labels and annotations are added; another role makes it anew, for a binding's role
    /// is immutable.
    Binding,
    /// The spec is reset, unless users have taken the object over.
    FlowControl,
    /// The spec is reset while the label says that the server maintains it.
    ApiService,
    /// A ConfigMap whose keys are set; others stay.
    Data,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Nothing,
    Create(Value),
    Update(Value),
    Recreate(Value),
}

/// Decides; `desired` is a whole object, `existing` what is stored under its name.
pub(super) fn plan(policy: Policy, desired: &Value, existing: Option<&Value>) -> Action {
    let Some(existing) = existing else { return Action::Create(without_status(desired)) };
    let mut updated = existing.clone();
    match policy {
        Policy::CreateOnly => return Action::Nothing,
        Policy::Role | Policy::Binding if annotation(existing, RBAC_AUTOUPDATE) == Some("false") => {
            return Action::Nothing;
        }
        Policy::Role => {
            add_metadata(desired, &mut updated);
            // The rules of an aggregated role are the aggregation controller's.
            if desired.get("aggregationRule").is_none() {
                add_missing(desired, &mut updated, "rules", covers);
            } else {
                add_selectors(desired, &mut updated);
            }
        }
        Policy::Binding => {
            if !same_role(desired, existing) {
                return Action::Recreate(without_status(desired));
            }
            add_metadata(desired, &mut updated);
            add_missing(desired, &mut updated, "subjects", same_subject);
        }
        Policy::FlowControl => {
            let name = desired["metadata"]["name"].as_str().unwrap_or_default();
            let taken_over = annotation(existing, FLOW_CONTROL_AUTOUPDATE) == Some("false");
            if taken_over && !MANDATORY.contains(&name) {
                return Action::Nothing;
            }
            reset(&desired["spec"], &mut updated["spec"]);
        }
        Policy::ApiService => {
            if existing["metadata"]["labels"].get(AUTOMANAGED).is_none() {
                return Action::Nothing;
            }
            reset(&desired["spec"], &mut updated["spec"]);
        }
        Policy::Data => {
            for (key, value) in desired["data"].as_object().into_iter().flatten() {
                updated["data"][key] = value.clone();
            }
        }
    }
    if updated == *existing { Action::Nothing } else { Action::Update(updated) }
}

fn without_status(desired: &Value) -> Value {
    let mut object = desired.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    object
}

fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

/// Adds the labels and annotations that are not there; those that are keep their value.
fn add_metadata(desired: &Value, updated: &mut Value) {
    for part in ["labels", "annotations"] {
        let Some(wanted) = desired["metadata"][part].as_object() else { continue };
        let Some(metadata) = updated["metadata"].as_object_mut() else { continue };
        let slot = metadata.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let Some(present) = slot.as_object_mut() else { continue };
        for (key, value) in wanted {
            present.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Adds to the list `field` the items that none of its items amounts to.
fn add_missing(desired: &Value, updated: &mut Value, field: &str, amounts_to: fn(&Value, &Value) -> bool) {
    let wanted = desired[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let present = updated[field].as_array().cloned().unwrap_or_default();
    let missing = wanted.iter().filter(|item| !present.iter().any(|p| amounts_to(p, item)));
    let missing: Vec<Value> = missing.cloned().collect();
    if !missing.is_empty() {
        updated[field] = present.into_iter().chain(missing).collect();
    }
}

fn add_selectors(desired: &Value, updated: &mut Value) {
    let selectors = "clusterRoleSelectors";
    let mut rule = updated["aggregationRule"].take();
    if !rule.is_object() {
        rule = Value::Object(Map::new());
    }
    add_missing(&desired["aggregationRule"], &mut rule, selectors, |a, b| a == b);
    updated["aggregationRule"] = rule;
}

/// Whether rule `present` grants all that rule `wanted` does, field by field.
fn covers(present: &Value, wanted: &Value) -> bool {
    let has_all = |field: &str| {
        let values = present[field].as_array();
        let wanted = wanted[field].as_array();
        wanted.into_iter().flatten().all(|w| values.is_some_and(|v| v.iter().any(|p| p == w || p == "*")))
    };
    let unrestricted = |rule: &Value| rule["resourceNames"].as_array().is_none_or(Vec::is_empty);
    ["verbs", "apiGroups", "resources", "nonResourceURLs"].iter().all(|field| has_all(field))
        && (unrestricted(present) || (!unrestricted(wanted) && has_all("resourceNames")))
}

fn same_subject(a: &Value, b: &Value) -> bool {
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    ["kind", "name", "namespace"].iter().all(|key| text(a, key) == text(b, key))
}

fn same_role(a: &Value, b: &Value) -> bool {
    ["kind", "name"].iter().all(|key| a["roleRef"][key] == b["roleRef"][key])
}

/// Sets what `wanted` says, and leaves alone what the server has defaulted besides.
fn reset(wanted: &Value, present: &mut Value) {
    match (wanted, &mut *present) {
        (Value::Object(wanted), Value::Object(present)) => {
            for (key, value) in wanted {
                reset(value, present.entry(key.clone()).or_insert(Value::Null));
            }
        }
        (Value::Array(wanted), Value::Array(present)) if wanted.len() == present.len() => {
            wanted.iter().zip(present).for_each(|(wanted, present)| reset(wanted, present));
        }
        _ => *present = wanted.clone(),
    }
}

/// Whether a condition of `wanted` is absent from `present` or says something else.
pub(super) fn lacks_conditions(wanted: &Value, present: Option<&Value>) -> bool {
    let present = present.and_then(|s| s["conditions"].as_array());
    let said = |condition: &Value| {
        present
            .into_iter()
            .flatten()
            .any(|p| p["type"] == condition["type"] && p["status"] == condition["status"])
    };
    !wanted["conditions"].as_array().into_iter().flatten().all(said)
}

/// Puts the conditions of `wanted` in the place of those of their type.
pub(super) fn set_conditions(wanted: &Value, status: &mut Value, now: &str) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    for condition in wanted["conditions"].as_array().into_iter().flatten() {
        let mut condition = condition.clone();
        condition["lastTransitionTime"] = now.into();
        conditions.retain(|c| c["type"] != condition["type"]);
        conditions.push(condition);
    }
    status["conditions"] = conditions.into();
}
