//! What a kind's status may say, beside the rules of metadata.

use serde_json::Value;

use super::check::{self, not_negative};
use super::get::{at, entries, get, int, items, quantity, text};
use super::{node, pod};
use crate::field::{BadValue, Error, ErrorList, Path};
use crate::name;

const STATUS: Path<'static> = Path::new("status");
const OVER_REPLICAS: &str = "cannot be greater than status.replicas";

/// The rules for a changed status.
pub(super) fn validate(group: &str, kind: &str, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let status = &new["status"];
    match (group, kind) {
        ("", "Pod") => pod::validate_status(&mut errors, new, old),
        ("", "Node") => errors.append((node::NODE.update)(new, old)),
        ("", "Namespace") => namespace(&mut errors, new),
        ("", "PersistentVolumeClaim") => claim(&mut errors, status),
        ("", "ResourceQuota") => quota(&mut errors, status),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => replica_set(&mut errors, status),
        ("apps", "Deployment") => deployment(&mut errors, status, &old["status"]),
        ("apps", "DaemonSet") => daemon_set(&mut errors, status, &old["status"]),
        ("apps", "StatefulSet") => stateful_set(&mut errors, status, &old["status"]),
        ("batch", "Job") => job(&mut errors, new, old),
        ("policy", "PodDisruptionBudget") => {
            conditions(&mut errors, &STATUS.child("conditions"), status);
            each_not_negative(
                &mut errors,
                status,
                &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
            );
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            each_not_negative(&mut errors, status, &["currentReplicas", "desiredReplicas"]);
        }
        ("networking.k8s.io", "Ingress") => {
            load_balancer(&mut errors, &STATUS.child("loadBalancer.ingress"), status);
        }
        _ => {}
    }
    errors
}

fn each_not_negative(errors: &mut ErrorList, status: &Value, keys: &[&str]) {
    for key in keys {
        not_negative(errors, &STATUS, status, key);
    }
}

/// None of the counts is larger than `replicas`; what is available is also ready.
fn counts(errors: &mut ErrorList, status: &Value, keys: &[&str], over_ready: &str) {
    let count = |key: &str| int(status, key).unwrap_or(0);
    for key in keys {
        if count(key) > count("replicas") {
            errors.invalid(&STATUS.child(key), count(key), OVER_REPLICAS);
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        errors.invalid(&STATUS.child("availableReplicas"), count("availableReplicas"), over_ready);
    }
}

fn not_decremented(errors: &mut ErrorList, new: &Value, old: &Value) {
    let count = |status: &Value| int(status, "collisionCount").unwrap_or(0);
    if count(new) < count(old) {
        errors.invalid(&STATUS.child("collisionCount"), count(new), "cannot be decremented");
    }
}

fn replica_set(errors: &mut ErrorList, status: &Value) {
    each_not_negative(
        errors,
        status,
        &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
    );
    counts(
        errors,
        status,
        &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        "cannot be greater than readyReplicas",
    );
}

fn deployment(errors: &mut ErrorList, status: &Value, old: &Value) {
    each_not_negative(
        errors,
        status,
        &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "collisionCount",
        ],
    );
    counts(
        errors,
        status,
        &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "cannot be greater than readyReplicas",
    );
    not_decremented(errors, status, old);
}

fn daemon_set(errors: &mut ErrorList, status: &Value, old: &Value) {
    each_not_negative(
        errors,
        status,
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
    );
    not_decremented(errors, status, old);
}

fn stateful_set(errors: &mut ErrorList, status: &Value, old: &Value) {
    each_not_negative(
        errors,
        status,
        &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
    );
    counts(
        errors,
        status,
        &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        "cannot be greater than status.readyReplicas",
    );
    not_decremented(errors, status, old);
}

fn job(errors: &mut ErrorList, new: &Value, old: &Value) {
    let status = &new["status"];
    each_not_negative(errors, status, &["active", "succeeded", "failed", "ready", "terminating"]);
    let is = |object: &Value, kind: &str| {
        let conditions = items(&object["status"], "conditions");
        conditions.iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    let path = STATUS.child("uncountedTerminatedPods");
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let at = path.child(list);
        for (i, uid) in super::get::texts(&status["uncountedTerminatedPods"], list).enumerate() {
            if uid.is_empty() {
                errors.invalid(&at.index(i), uid, "must not be empty");
            } else if seen.contains(&uid) {
                errors.duplicate(&at.index(i), uid);
            } else {
                seen.push(uid);
            }
        }
    }
    let finished = |object: &Value| is(object, "Complete") || is(object, "Failed");
    let active = int(status, "active").unwrap_or(0);
    if finished(new) && !finished(old) && active > 0 {
        errors.invalid(&STATUS.child("active"), active, "active>0 is invalid for finished job");
    }
    if is(new, "Complete") && is(new, "Failed") {
        let detail = "cannot set Complete=True and Failed=true conditions";
        errors.push(Error::invalid(&STATUS.child("conditions"), BadValue::Omitted, detail));
    }
    if get(status, "completionTime").is_some() && !is(new, "Complete") && !is(old, "Complete") {
        let shown = BadValue::maybe(get(status, "completionTime"));
        let detail = "cannot set completionTime when there is no Complete=True condition";
        errors.invalid(&STATUS.child("completionTime"), shown, detail);
    }
}

fn namespace(errors: &mut ErrorList, namespace: &Value) {
    let phase = text(&namespace["status"], "phase");
    let path = STATUS.child("Phase");
    match at(namespace, "/metadata/deletionTimestamp") {
        None if phase != "Active" => {
            errors.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
        }
        Some(_) if phase != "Terminating" => {
            errors.invalid(&path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
        }
        _ => {}
    }
}

fn claim(errors: &mut ErrorList, status: &Value) {
    let mut amount = |path: &Path<'_>, value: &Value| {
        if quantity(value).signum() < 0 {
            errors.invalid(path, quantity(value).value(), "must be a valid resource quantity");
        }
    };
    let path = STATUS.child("capacity");
    for (resource, value) in entries(status, "capacity") {
        amount(&path.key(resource), value);
    }
    let path = STATUS.child("allocatedResources");
    for (resource, value) in entries(status, "allocatedResources") {
        amount(&path.key(resource), value);
    }
}

fn quota(errors: &mut ErrorList, status: &Value) {
    for list in ["hard", "used"] {
        let path = STATUS.child(list);
        for (resource, value) in entries(status, list) {
            let path = path.key(resource);
            if !resource.starts_with("count/") {
                pod::resource_name(errors, &path, resource);
            }
            pod::quantity_value(errors, &path, resource, value);
        }
    }
}

/// The addresses of a load balancer; `path` is that of the list.
fn load_balancer(errors: &mut ErrorList, path: &Path<'_>, status: &Value) {
    for (i, ingress) in items(&status["loadBalancer"], "ingress").iter().enumerate() {
        let path = path.index(i);
        let (ip, host) = (text(ingress, "ip"), text(ingress, "hostname"));
        if !ip.is_empty() {
            check::ip(errors, &path.child("ip"), ip);
        }
        if !host.is_empty() {
            if host.parse::<std::net::IpAddr>().is_ok() {
                errors.invalid(&path.child("hostname"), host, "must be a DNS name, not an IP address");
            }
            errors.invalid_each(&path.child("hostname"), host, name::dns1123_subdomain(host));
        }
    }
}

/// `metav1.Condition`s: one per type, each complete.
fn conditions(errors: &mut ErrorList, path: &Path<'_>, status: &Value) {
    const REASON_MAX: usize = 1024;
    const MESSAGE_MAX: usize = 32 * 1024;
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in items(status, "conditions").iter().enumerate() {
        let path = path.index(i);
        let (kind, state) = (text(condition, "type"), text(condition, "status"));
        if seen.contains(&kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        seen.push(kind);
        errors.invalid_each(&path.child("type"), kind, name::qualified_name(kind));
        if !matches!(state, "True" | "False" | "Unknown") {
            errors.not_supported(&path.child("status"), state, &["False", "True", "Unknown"]);
        }
        if let Some(generation) = int(condition, "observedGeneration").filter(|g| *g < 0) {
            let detail = "must be greater than or equal to zero";
            errors.invalid(&path.child("observedGeneration"), generation, detail);
        }
        if get(condition, "lastTransitionTime").is_none() {
            errors.required(&path.child("lastTransitionTime"), "must be set");
        }
        let reason = text(condition, "reason");
        if reason.is_empty() {
            errors.required(&path.child("reason"), "must be set");
        } else {
            if !is_reason(reason) {
                errors.invalid(&path.child("reason"), reason, "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')");
            }
            if reason.len() > REASON_MAX {
                errors.too_long(&path.child("reason"), REASON_MAX);
            }
        }
        if text(condition, "message").len() > MESSAGE_MAX {
            errors.too_long(&path.child("message"), MESSAGE_MAX);
        }
    }
}

fn is_reason(reason: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    reason.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && reason.bytes().all(|b| is_word(b) || matches!(b, b',' | b':'))
        && reason.bytes().next_back().is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(group: &str, kind: &str, status: Value, want: &[&str]) {
        let old = json!({"metadata": {"name": "a"}, "status": {"collisionCount": 2}});
        let new = json!({"metadata": {"name": "a"}, "status": status});
        let got: Vec<String> = validate(group, kind, &new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn counts_fit_together() {
        check(
            "apps",
            "Deployment",
            json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "collisionCount": 1}),
            &[
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
                "status.collisionCount: Invalid value: 1: cannot be decremented",
            ],
        );
        check("apps", "StatefulSet", json!({"replicas": 1, "readyReplicas": 1, "collisionCount": 2}), &[]);
    }

    #[test]
    fn conditions_are_complete() {
        check(
            "policy",
            "PodDisruptionBudget",
            json!({"conditions": [{"type": "A", "status": "Maybe", "reason": "x y"}], "expectedPods": -1}),
            &[
                "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
                "status.conditions[0].lastTransitionTime: Required value: must be set",
                "status.conditions[0].reason: Invalid value: \"x y\": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
                "status.expectedPods: Invalid value: -1: must be greater than or equal to 0",
            ],
        );
    }
}
