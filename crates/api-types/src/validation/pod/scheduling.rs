//! Tolerations, spread constraints and scheduling gates.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::get::{get, int, items, text, texts};
use crate::validation::selector::{label_name, label_selector};
use crate::validation::{check, selector};

pub(in crate::validation) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(in crate::validation) fn tolerations(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    for (i, toleration) in items(spec, "tolerations").iter().enumerate() {
        let path = path.index(i);
        let operator_path = path.child("operator");
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
        if !key.is_empty() {
            label_name(errors, &path.child("key"), key);
        }
        if key.is_empty() && operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&operator_path, operator, detail);
        }
        if int(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, detail);
        }
        match operator {
            "Equal" | "" => {
                let wrong = name::label_value(value);
                if !wrong.is_empty() {
                    errors.invalid(&operator_path, value, wrong.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid(&operator_path, value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            other => errors.not_supported(&operator_path, other, &["Equal", "Exists"]),
        }
        check::one_of_if_set(errors, &path.child("effect"), effect, &EFFECTS);
    }
}

pub(super) fn gates(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let path = path.index(i);
        let gate = text(gate, "name");
        if gate.is_empty() {
            errors.required(&path, "must not be empty");
        } else {
            errors.invalid_each(&path, gate, name::qualified_name(gate));
        }
        if seen.contains(&gate) {
            errors.duplicate(&path, gate);
        }
        seen.push(gate);
    }
}

pub(super) fn spread_constraints(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let constraints = items(spec, "topologySpreadConstraints");
    for (i, constraint) in constraints.iter().enumerate() {
        spread_constraint(errors, &path.index(i), constraint, &constraints[i + 1..]);
    }
}

fn spread_constraint(errors: &mut ErrorList, path: &Path<'_>, constraint: &Value, rest: &[Value]) {
    let skew = int(constraint, "maxSkew").unwrap_or(0);
    if skew <= 0 {
        errors.invalid(&path.child("maxSkew"), skew, check::POSITIVE);
    }
    let (key, otherwise) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    } else {
        label_name(errors, &path.child("topologyKey"), key);
    }
    if !matches!(otherwise, "DoNotSchedule" | "ScheduleAnyway") {
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        errors.not_supported(&path.child("whenUnsatisfiable"), otherwise, &supported);
    }
    if rest.iter().any(|c| text(c, "topologyKey") == key && text(c, "whenUnsatisfiable") == otherwise) {
        errors.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {otherwise}}}"));
    }
    if let Some(domains) = int(constraint, "minDomains") {
        let path = path.child("minDomains");
        if domains <= 0 {
            errors.invalid(&path, domains, check::POSITIVE);
        }
        if otherwise != "DoNotSchedule" {
            let detail =
                format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}");
            errors.invalid(&path, domains, detail);
        }
    }
    for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        check::one_of_if_set(errors, &path.child(policy), text(constraint, policy), &["Honor", "Ignore"]);
    }
    match_label_keys(errors, &path.child("matchLabelKeys"), constraint);
    label_selector(errors, &path.child("labelSelector"), get(constraint, "labelSelector"));
}

fn match_label_keys(errors: &mut ErrorList, path: &Path<'_>, constraint: &Value) {
    let keys: Vec<&str> = texts(constraint, "matchLabelKeys").collect();
    if keys.is_empty() {
        return;
    }
    let Some(labels) = get(constraint, "labelSelector") else {
        return errors.forbidden(path, "must not be specified when labelSelector is not set");
    };
    for (i, key) in keys.iter().enumerate() {
        selector::label_name(errors, &path.index(i), key);
    }
    selector::selected_twice(errors, path, labels, &keys);
}
