//! Which quotas a request is charged to, and whether they bear it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{scopes, usage};
use crate::admission::Request;
use crate::admission::plugins::pod_resources::{Amounts, amounts};
use crate::admission::plugins::support::{containers, text};

/// Resources that every container must state once a quota counts them.
const MUST_STATE: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// What booking a request does to a quota.
#[derive(Debug, PartialEq)]
pub(super) enum Charge {
    /// Nothing that it counts is used.
    Nothing,
    /// The new value of `status.used`.
    Used(Value),
}

/// Whether a quota counts this kind of object, within its scopes.
pub(super) fn concerns(quota: &Value, request: &Request<'_>, object: &Value, delta: &Amounts) -> bool {
    let hard = hard(quota);
    let is_pod = request.is_any("", "pods");
    let counts =
        hard.keys().any(|name| delta.contains_key(name) || (is_pod && MUST_STATE.contains(&name.as_str())));
    counts && scopes::match_all(quota, request, object)
}

/// A pod's containers must say what the quota counts: else nobody could tell how much the pod uses.
pub(super) fn constraints(quota: &Value, request: &Request<'_>, pod: &Value) -> Result<(), String> {
    if !request.is_any("", "pods") {
        return Ok(());
    }
    let required: BTreeSet<String> =
        hard(quota).into_keys().filter(|n| MUST_STATE.contains(&n.as_str())).collect();
    let mut missing: BTreeMap<&String, BTreeSet<&str>> = BTreeMap::new();
    // Amounts set for the whole pod say enough.
    let whole = stated(&pod["spec"]);
    for (field, container) in containers(&pod["spec"]) {
        if field == "ephemeralContainers" {
            continue;
        }
        let stated = stated(container);
        for name in required.iter().filter(|n| !stated.contains_key(*n) && !whole.contains_key(*n)) {
            missing.entry(name).or_default().insert(text(container, "/name"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing.into_iter().map(|(name, containers)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    });
    let lines: Vec<String> = lines.collect();
    Err(format!("failed quota: {}: must specify {}", text(quota, "/metadata/name"), lines.join("; ")))
}

/// What a container, or a pod as a whole, states, under the names of quotas.
fn stated(of: &Value) -> Amounts {
    let mut stated = Amounts::new();
    usage::compute(
        &amounts(of.pointer("/resources/requests")),
        &amounts(of.pointer("/resources/limits")),
        &mut stated,
    );
    stated
}

/// Adds the delta to the quota's usage, if that stays within its limits.
pub(super) fn plan(quota: &Value, delta: &Amounts) -> Result<Charge, String> {
    let name = text(quota, "/metadata/name");
    let hard = hard(quota);
    let used = amounts(quota.pointer("/status/used"));
    let requested: Amounts =
        delta.iter().filter(|(name, _)| hard.contains_key(*name)).map(|(n, a)| (n.clone(), *a)).collect();
    if requested.is_empty() {
        return Ok(Charge::Nothing);
    }
    let unknown: Vec<&str> = hard.keys().filter(|n| !used.contains_key(*n)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("status unknown for quota: {name}, resources: {}", unknown.join(",")));
    }
    let mut after = used.clone();
    let mut exceeded = Vec::new();
    for (resource, amount) in &requested {
        if let Some(sum) = after.get_mut(resource) {
            *sum += *amount;
            if *sum > hard[resource] {
                exceeded.push(resource);
            }
        }
    }
    if !exceeded.is_empty() {
        let show = |amounts: &Amounts| {
            let shown = exceeded.iter().filter_map(|n| amounts.get(*n).map(|a| format!("{n}={a}")));
            shown.collect::<Vec<_>>().join(",")
        };
        return Err(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            show(&requested),
            show(&used),
            show(&hard)
        ));
    }
    let map: Map<String, Value> = after.into_iter().map(|(n, a)| (n, a.to_string().into())).collect();
    Ok(Charge::Used(map.into()))
}

/// The limits in force: those that the quota controller has taken notice of.
fn hard(quota: &Value) -> Amounts {
    amounts(quota.pointer("/status/hard"))
}
