//! Controllers of pods: deployments, replica sets, daemon sets, stateful sets.

use serde_json::Value;

use super::check::{self, NOT_NEGATIVE, go_struct, immutable, not_negative};
use super::get::{get, int, items, text};
use super::selector::label_selector;
use super::{Validator, pod, same};
use crate::field::{BadValue, ErrorList, Path};
use crate::int_or_string::IntOrString;
use crate::name;
use crate::selector::Selector;

/// Rules of `Deployment`.
pub static DEPLOYMENT: Validator = Validator {
    name: name::subdomain_rule,
    create: deployment,
    update: |new, old| update(deployment(new), new, old),
};
/// Rules of `ReplicaSet`.
pub static REPLICA_SET: Validator = Validator {
    name: name::subdomain_rule,
    create: replica_set,
    update: |new, old| update(replica_set(new), new, old),
};
/// Rules of `ReplicationController`.
pub static REPLICATION_CONTROLLER: Validator =
    same(name::subdomain_rule, replication_controller, |new, _| replication_controller(new));
/// Rules of `DaemonSet`.
pub static DAEMON_SET: Validator = Validator {
    name: name::subdomain_rule,
    create: daemon_set,
    update: |new, old| {
        let mut errors = update(ErrorList::new(), new, old);
        errors.append(daemon_set(new));
        errors
    },
};
/// Rules of `StatefulSet`.
pub static STATEFUL_SET: Validator =
    Validator { name: name::label_rule, create: stateful_set, update: stateful_set_update };
/// Rules of `ControllerRevision`.
pub static CONTROLLER_REVISION: Validator = Validator {
    name: name::subdomain_rule,
    create: controller_revision,
    update: |new, old| {
        let mut errors = ErrorList::new();
        not_negative(&mut errors, &Path::ROOT, new, "revision");
        immutable(&mut errors, &Path::ROOT, new, old, "data");
        errors
    },
};

const SPEC: Path<'static> = Path::new("spec");
pub(super) const MISMATCH: &str = "`selector` does not match template `labels`";

/// The selector of a controller never changes.
fn update(mut errors: ErrorList, new: &Value, old: &Value) -> ErrorList {
    immutable(&mut errors, &SPEC, &new["spec"], &old["spec"], "selector");
    errors
}

fn deployment(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    not_negative(&mut errors, &SPEC, spec, "replicas");
    selector_and_template(&mut errors, spec, "deployment", true);
    strategy(&mut errors, &SPEC.child("strategy"), &spec["strategy"]);
    not_negative(&mut errors, &SPEC, spec, "minReadySeconds");
    not_negative(&mut errors, &SPEC, spec, "revisionHistoryLimit");
    if let Some(deadline) = int(spec, "progressDeadlineSeconds") {
        not_negative(&mut errors, &SPEC, spec, "progressDeadlineSeconds");
        if deadline <= int(spec, "minReadySeconds").unwrap_or(0) {
            errors.invalid(
                &SPEC.child("progressDeadlineSeconds"),
                deadline,
                "must be greater than minReadySeconds",
            );
        }
    }
    errors
}

fn strategy(errors: &mut ErrorList, path: &Path<'_>, strategy: &Value) {
    let rolling = get(strategy, "rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if rolling.is_some() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.forbidden(&path.child("rollingUpdate"), detail);
            }
        }
        "RollingUpdate" => match rolling {
            None => {
                errors.required(&path.child("rollingUpdate"), "this should be defaulted and never be nil")
            }
            Some(rolling) => rolling_update(errors, &path.child("rollingUpdate"), rolling),
        },
        _ => errors.not_supported(path, shown_strategy(strategy), &["Recreate", "RollingUpdate"]),
    }
}

fn shown_strategy(strategy: &Value) -> BadValue {
    go_struct(strategy, &[("Type", "type"), ("RollingUpdate", "rollingUpdate")])
}

fn rolling_update(errors: &mut ErrorList, path: &Path<'_>, rolling: &Value) {
    for key in ["maxUnavailable", "maxSurge"] {
        number_or_percent(errors, &path.child(key), get(rolling, key));
    }
    if is_zero(rolling, "maxUnavailable") && is_zero(rolling, "maxSurge") {
        let shown = BadValue::maybe(get(rolling, "maxUnavailable"));
        errors.invalid(&path.child("maxUnavailable"), shown, "may not be 0 when `maxSurge` is 0");
    }
    not_over_100_percent(errors, &path.child("maxUnavailable"), get(rolling, "maxUnavailable"));
}

/// A number that is not negative, or a percentage.
pub(super) fn number_or_percent(errors: &mut ErrorList, path: &Path<'_>, value: Option<&Value>) {
    match value {
        Some(Value::String(text)) => errors.invalid_each(path, text.as_str(), name::percent(text)),
        Some(other) if other.as_i64().is_some_and(|n| n < 0) => {
            errors.invalid(path, other.clone(), NOT_NEGATIVE)
        }
        _ => {}
    }
}

pub(super) fn not_over_100_percent(errors: &mut ErrorList, path: &Path<'_>, value: Option<&Value>) {
    let percent =
        value.and_then(Value::as_str).and_then(|t| t.strip_suffix('%')).and_then(|t| t.parse::<i64>().ok());
    if percent.is_some_and(|p| p > 100) {
        errors.invalid(path, BadValue::maybe(value), "must not be greater than 100%");
    }
}

fn is_zero(owner: &Value, key: &str) -> bool {
    match get(owner, key).and_then(IntOrString::from_value) {
        None => true,
        Some(value) => value.scaled(100, true).is_ok_and(|n| n == 0),
    }
}

fn selector_and_template(errors: &mut ErrorList, spec: &Value, kind: &str, required: bool) {
    let path = SPEC.child("selector");
    let selector = get(spec, "selector");
    match selector {
        None if required => errors.required(&path, ""),
        None => {}
        Some(value) => {
            label_selector(errors, &path, Some(value));
            if is_empty_selector(value) {
                errors.invalid(&path, shown_selector(value), format!("empty selector is invalid for {kind}"));
            }
        }
    }
    match Selector::from_value(selector.unwrap_or(&Value::Null)) {
        Err(_) => {
            let shown = selector.map_or(BadValue::Json(Value::Null), shown_selector);
            errors.invalid(&path, shown, "invalid label selector");
        }
        Ok(parsed) => {
            let name = if kind == "daemonset" { "DaemonSet" } else { "ReplicaSet" };
            template(errors, &SPEC.child("template"), &spec["template"], &parsed, name);
        }
    }
}

pub(super) fn is_empty_selector(selector: &Value) -> bool {
    !super::get::has_entries(selector, "matchLabels") && items(selector, "matchExpressions").is_empty()
}

/// A label selector in the order of its Go fields.
pub(super) fn shown_selector(selector: &Value) -> BadValue {
    let mut parts = Vec::new();
    if let Some(labels) = get(selector, "matchLabels") {
        parts.push(format!("\"matchLabels\":{labels}"));
    }
    let expressions: Vec<String> = items(selector, "matchExpressions")
        .iter()
        .map(|e| {
            let fields = ["key", "operator", "values"];
            let fields = fields.iter().filter_map(|k| Some(format!("\"{k}\":{}", get(e, k)?)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        })
        .collect();
    if !expressions.is_empty() {
        parts.push(format!("\"matchExpressions\":[{}]", expressions.join(",")));
    }
    BadValue::Raw(format!("{{{}}}", parts.join(",")))
}

/// A template whose pods run forever and are found by the selector.
pub(super) fn template(
    errors: &mut ErrorList,
    path: &Path<'_>,
    template: &Value,
    selector: &Selector,
    kind: &str,
) {
    let labels = get(&template["metadata"], "labels");
    if !selector.is_everything() && !selector.matches(&labels) {
        errors.invalid(&path.child("metadata.labels"), BadValue::maybe(labels), MISMATCH);
    }
    pod::template(errors, path, template);
    let spec = &template["spec"];
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        errors.not_supported(&path.child("spec.restartPolicy"), policy, &["Always"]);
    }
    if int(spec, "activeDeadlineSeconds").is_some() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&path.child("spec.activeDeadlineSeconds"), detail);
    }
}

fn replica_set(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    not_negative(&mut errors, &SPEC, spec, "replicas");
    not_negative(&mut errors, &SPEC, spec, "minReadySeconds");
    selector_and_template(&mut errors, spec, "replicaset", true);
    errors
}

fn replication_controller(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    not_negative(&mut errors, &SPEC, spec, "minReadySeconds");
    let selected: Vec<(&str, &str)> =
        super::get::entries(spec, "selector").map(|(k, v)| (k, v.as_str().unwrap_or_default())).collect();
    if selected.is_empty() {
        errors.required(&SPEC.child("selector"), "");
    }
    not_negative(&mut errors, &SPEC, spec, "replicas");
    match get(spec, "template") {
        None => errors.required(&SPEC.child("template"), ""),
        Some(found) => {
            let selector = Selector::from_map(selected);
            template(&mut errors, &SPEC.child("template"), found, &selector, "ReplicationController");
        }
    }
    errors
}

fn daemon_set(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let path = SPEC.child("selector");
    let selector = get(spec, "selector");
    label_selector(&mut errors, &path, selector);
    let parsed = Selector::from_value(selector.unwrap_or(&Value::Null));
    let labels = get(&spec["template"]["metadata"], "labels");
    if parsed.is_ok_and(|s| !s.is_everything() && !s.matches(&labels)) {
        errors.invalid(&SPEC.child("template.metadata.labels"), BadValue::maybe(labels), MISMATCH);
    }
    if let Some(selector) = selector.filter(|s| is_empty_selector(s)) {
        errors.invalid(&path, shown_selector(selector), "empty selector is invalid for daemonset");
    }
    template(&mut errors, &SPEC.child("template"), &spec["template"], &Selector::everything(), "DaemonSet");
    not_negative(&mut errors, &SPEC, spec, "minReadySeconds");
    daemon_set_strategy(&mut errors, &SPEC.child("updateStrategy"), &spec["updateStrategy"]);
    not_negative(&mut errors, &SPEC, spec, "revisionHistoryLimit");
    errors
}

fn daemon_set_strategy(errors: &mut ErrorList, path: &Path<'_>, strategy: &Value) {
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            let Some(rolling) = get(strategy, "rollingUpdate") else { return errors.required(&path, "") };
            for key in ["maxUnavailable", "maxSurge"] {
                number_or_percent(errors, &path.child(key), get(rolling, key));
            }
            let (unavailable, surge) = (is_zero(rolling, "maxUnavailable"), is_zero(rolling, "maxSurge"));
            if unavailable && surge {
                errors.required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
            }
            if !unavailable && !surge {
                let shown = BadValue::maybe(get(rolling, "maxSurge"));
                errors.invalid(
                    &path.child("maxSurge"),
                    shown,
                    "may not be set when maxUnavailable is non-zero",
                );
            }
            for key in ["maxUnavailable", "maxSurge"] {
                not_over_100_percent(errors, &path.child(key), get(rolling, key));
            }
        }
        _ => errors.not_supported(path, shown_strategy(strategy), &["RollingUpdate", "OnDelete"]),
    }
}

fn stateful_set(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    match text(spec, "podManagementPolicy") {
        "" => errors.required(&SPEC.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        other => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            errors.invalid(&SPEC.child("podManagementPolicy"), other, detail);
        }
    }
    stateful_set_strategy(&mut errors, &SPEC.child("updateStrategy"), &spec["updateStrategy"]);
    retention(&mut errors, &SPEC.child("persistentVolumeClaimRetentionPolicy"), spec);
    not_negative(&mut errors, &SPEC, spec, "replicas");
    not_negative(&mut errors, &SPEC, spec, "minReadySeconds");
    not_negative(&mut errors, &SPEC.child("ordinals"), &spec["ordinals"], "start");
    let path = SPEC.child("selector");
    let selector = get(spec, "selector");
    match selector {
        None => errors.required(&path, ""),
        Some(value) => {
            label_selector(&mut errors, &path, selector);
            if is_empty_selector(value) {
                errors.invalid(&path, shown_selector(value), "empty selector is invalid for statefulset");
            }
        }
    }
    if let Ok(parsed) = Selector::from_value(selector.unwrap_or(&Value::Null)) {
        template(&mut errors, &SPEC.child("template"), &with_claims(spec), &parsed, "StatefulSet");
    }
    not_negative(&mut errors, &SPEC, spec, "revisionHistoryLimit");
    errors
}

/// The template with a volume for each claim template, which its containers may mount.
fn with_claims(spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    let claims = items(spec, "volumeClaimTemplates");
    if claims.is_empty() || !template["spec"].is_object() {
        return template;
    }
    let names: Vec<&str> = claims.iter().map(|c| text(&c["metadata"], "name")).collect();
    let mut volumes: Vec<Value> = names
        .iter()
        .map(|n| serde_json::json!({"name": n, "persistentVolumeClaim": {"claimName": n}}))
        .collect();
    volumes.extend(
        items(&template["spec"], "volumes").iter().filter(|v| !names.contains(&text(v, "name"))).cloned(),
    );
    template["spec"]["volumes"] = Value::Array(volumes);
    template
}

fn stateful_set_strategy(errors: &mut ErrorList, path: &Path<'_>, strategy: &Value) {
    let rolling = get(strategy, "rollingUpdate");
    match text(strategy, "type") {
        "" => errors.required(path, ""),
        "OnDelete" => {
            if let Some(rolling) = rolling {
                let shown =
                    go_struct(rolling, &[("Partition", "partition"), ("MaxUnavailable", "maxUnavailable")]);
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.invalid(&path.child("rollingUpdate"), shown, detail);
            }
        }
        "RollingUpdate" => {
            if let Some(rolling) = rolling {
                not_negative(errors, &path.child("rollingUpdate"), rolling, "partition");
                let at = path.child("rollingUpdate.maxUnavailable");
                let value = get(rolling, "maxUnavailable");
                number_or_percent(errors, &at, value);
                not_over_100_percent(errors, &at, value);
            }
        }
        _ => errors.invalid(path, shown_strategy(strategy), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn retention(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(policy) = get(spec, "persistentVolumeClaimRetentionPolicy") else { return };
    for key in ["whenDeleted", "whenScaled"] {
        check::one_of(errors, &path.child(key), text(policy, key), &["Retain", "Delete"]);
    }
}

fn stateful_set_update(new: &Value, old: &Value) -> ErrorList {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let mut errors = stateful_set(new);
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(map) = spec.as_object_mut() {
            map.retain(|key, _| !MUTABLE.contains(&key.as_str()));
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
            'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' \
            are forbidden";
        errors.forbidden(&SPEC, detail);
    }
    errors
}

fn controller_revision(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if get(object, "data").is_none() {
        errors.required(&Path::new("data"), "data is mandatory");
    }
    not_negative(&mut errors, &Path::ROOT, object, "revision");
    errors
}
