//! Disruption budgets, priority classes, leases.

use serde_json::Value;

use super::Validator;
use super::check::{self, go_struct_text, immutable, not_negative};
use super::get::{get, int, text};
use super::selector::label_selector;
use super::workloads::{not_over_100_percent, number_or_percent, shown_selector};
use crate::field::{BadValue, ErrorList, Path};
use crate::name;

/// Rules of `PodDisruptionBudget`.
pub static POD_DISRUPTION_BUDGET: Validator =
    Validator { name: name::subdomain_rule, create: budget, update: |new, _| budget(new) };
/// Rules of `PriorityClass`.
pub static PRIORITY_CLASS: Validator =
    Validator { name: name::subdomain_rule, create: priority_class, update: priority_class_update };
/// Rules of `Lease`.
pub static LEASE: Validator =
    Validator { name: name::subdomain_rule, create: lease, update: |new, _| lease(new) };

const SPEC: Path<'static> = Path::new("spec");
/// The largest priority that a user may define; those above are the system's.
const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";

fn budget(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let (min, max) = (get(spec, "minAvailable"), get(spec, "maxUnavailable"));
    if min.is_some() && max.is_some() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.invalid(&SPEC, shown_budget(spec), detail);
    }
    for (key, value) in [("minAvailable", min), ("maxUnavailable", max)] {
        number_or_percent(&mut errors, &SPEC.child(key), value);
        not_over_100_percent(&mut errors, &SPEC.child(key), value);
    }
    label_selector(&mut errors, &SPEC.child("selector"), get(spec, "selector"));
    let policy = text(spec, "unhealthyPodEvictionPolicy");
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    check::one_of_if_set(&mut errors, &SPEC.child("unhealthyPodEvictionPolicy"), policy, &policies);
    errors
}

fn shown_budget(spec: &Value) -> BadValue {
    let selector = match get(spec, "selector").map(shown_selector) {
        Some(BadValue::Raw(text)) => text,
        _ => "null".to_owned(),
    };
    let head = go_struct_text(spec, &[("MinAvailable", "minAvailable")]);
    let tail = go_struct_text(
        spec,
        &[("MaxUnavailable", "maxUnavailable"), ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy")],
    );
    let (head, tail) = (head.trim_end_matches('}'), tail.trim_start_matches('{'));
    BadValue::Raw(format!("{head},\"Selector\":{selector},{tail}"))
}

fn priority_class(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let value = int(object, "value").unwrap_or(0);
    let name = text(&object["metadata"], "name");
    if value > USER_PRIORITY_MAX && !name.starts_with(SYSTEM_PREFIX) {
        let detail = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        errors.forbidden(&Path::new("value"), detail);
    }
    let policy = text(object, "preemptionPolicy");
    let policies = ["PreemptLowerPriority", "Never"];
    check::one_of_if_set(&mut errors, &Path::new("preemptionPolicy"), policy, &policies);
    errors
}

fn priority_class_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if int(new, "value") != int(old, "value") {
        errors.forbidden(&Path::new("value"), "may not be changed in an update.");
    }
    immutable(&mut errors, &Path::ROOT, new, old, "preemptionPolicy");
    errors
}

fn lease(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|s| *s <= 0) {
        errors.invalid(&SPEC.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    not_negative(&mut errors, &SPEC, spec, "leaseTransitions");
    errors
}
