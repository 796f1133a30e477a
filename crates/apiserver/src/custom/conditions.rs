//! The status that a definition should have, decided without touching anything.

use api_types::validation::approval::{self, Approval};
use serde_json::{Value, json};

use super::definition::{Condition, Definition, Names};
use super::names::Claims;

/// The changes that a status needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The accepted names.
    pub names: Names,
    /// Conditions that are new or differ, in the order in which they are added.
    pub conditions: Vec<Condition>,
}

/// What has to change in the status of a definition; `None` when it is as it should be. `served` says whether the rows of
/// accepted names are in place: only then is the resource established.
pub fn plan(definition: &Definition, claims: &Claims<'_>, served: bool) -> Option<Plan> {
    let verdict = claims.judge(definition);
    let accepted = match verdict.conflict {
        None => condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
        Some((reason, message)) => condition("NamesAccepted", false, reason, &message),
    };
    let names_hold = accepted.status == "True";
    let mut wanted = vec![accepted];
    wanted.push(established(definition, names_hold, served));
    wanted.extend(approval(definition));
    wanted.extend(structural(definition));
    wanted.retain(|wanted| definition.condition(&wanted.type_) != Some(wanted));
    let same_names = verdict.names == definition.status.accepted_names;
    (!same_names || !wanted.is_empty()).then_some(Plan { names: verdict.names, conditions: wanted })
}

/// First the names are accepted, and every server begins to serve the resource; then it is established.
fn established(definition: &Definition, names_hold: bool, served: bool) -> Condition {
    let accepted_before = definition.is_true("NamesAccepted");
    match definition.condition("Established") {
        Some(present) if present.status == "True" => present.clone(),
        _ if names_hold && accepted_before && served && definition.metadata.deletion_timestamp.is_none() => {
            condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted")
        }
        _ if names_hold => {
            condition("Established", false, "Installing", "the initial names have been accepted")
        }
        Some(present) => present.clone(),
        None => condition("Established", false, "NotAccepted", "not all names are accepted"),
    }
}

/// Groups of the community are for those that it has approved.
fn approval(definition: &Definition) -> Option<Condition> {
    if !approval::is_protected(&definition.spec.group) {
        return None;
    }
    let annotation = definition.metadata.annotations.get(approval::ANNOTATION).map_or("", String::as_str);
    let state = Approval::of(annotation);
    let reason = match state {
        Approval::Given => "ApprovedAnnotation",
        Approval::Bypassed => "UnapprovedAnnotation",
        Approval::Missing => "MissingAnnotation",
        Approval::Invalid => "InvalidAnnotation",
    };
    let message = state.explain(annotation);
    Some(condition("KubernetesAPIApprovalPolicyConformant", state == Approval::Given, reason, &message))
}

/// Definitions from before structural schemas were asked for may still be stored.
fn structural(definition: &Definition) -> Option<Condition> {
    if !definition.spec.preserve_unknown_fields {
        return None;
    }
    let message = "spec.preserveUnknownFields: Invalid value: true: must be false";
    Some(condition("NonStructuralSchema", true, "Violations", message))
}

/// A condition.
pub fn condition(type_: &str, holds: bool, reason: &str, message: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// Writes a condition into an object; the time of transition changes with the status alone.
pub fn set(object: &mut Value, condition: &Condition, now: &str) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(list) = object["status"]["conditions"].as_array_mut() else { return };
    let mut new = json!({
        "type": condition.type_, "status": condition.status, "lastTransitionTime": now,
        "reason": condition.reason, "message": condition.message,
    });
    match list.iter_mut().find(|known| known["type"] == *condition.type_) {
        None => list.push(new),
        Some(known) => {
            if known["status"] == *condition.status && known["lastTransitionTime"].is_string() {
                new["lastTransitionTime"] = known["lastTransitionTime"].take();
            }
            *known = new;
        }
    }
}
