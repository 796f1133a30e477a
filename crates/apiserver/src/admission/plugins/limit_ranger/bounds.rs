//! Minima, maxima and ratios.

use api_types::quantity::Quantity;
use serde_json::Value;

use crate::admission::plugins::pod_resources::{Amounts, amounts, pod_total};
use crate::admission::plugins::support::{list, text};

/// What a pod breaks, in words.
pub(super) fn pod(spec: &Value, limits: &[Value]) -> Vec<String> {
    let mut broken = Vec::new();
    for limit in limits {
        match text(limit, "/type") {
            "Container" => {
                for container in list(spec, "/containers").iter().chain(list(spec, "/initContainers")) {
                    let part = |part: &str| amounts(container.pointer(&format!("/resources/{part}")));
                    check(limit, "Container", &part("requests"), &part("limits"), &mut broken);
                }
            }
            "Pod" => {
                check(limit, "Pod", &pod_total(spec, "requests"), &pod_total(spec, "limits"), &mut broken)
            }
            _ => {}
        }
    }
    broken
}

/// What a claim breaks, in words.
pub(super) fn claim(claim: &Value, limits: &[Value]) -> Vec<String> {
    let requests = amounts(claim.pointer("/spec/resources/requests"));
    let mut broken = Vec::new();
    for limit in limits.iter().filter(|limit| text(limit, "/type") == "PersistentVolumeClaim") {
        for (name, bound) in amounts(limit.get("min")) {
            minimum("PersistentVolumeClaim", &name, bound, requests.get(&name), None, &mut broken);
        }
        for (name, bound) in amounts(limit.get("max")) {
            let said = format!("maximum {name} usage per PersistentVolumeClaim is {bound}");
            match requests.get(&name) {
                None => broken.push(format!("{said}.  No request is specified")),
                Some(request) if *request > bound => broken.push(format!("{said}, but request is {request}")),
                Some(_) => {}
            }
        }
    }
    broken
}

fn check(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts, broken: &mut Vec<String>) {
    for (name, bound) in amounts(limit.get("min")) {
        minimum(kind, &name, bound, requests.get(&name), limits.get(&name), broken);
    }
    for (name, bound) in amounts(limit.get("max")) {
        maximum(kind, &name, bound, requests.get(&name), limits.get(&name), broken);
    }
    for (name, bound) in amounts(limit.get("maxLimitRequestRatio")) {
        ratio(kind, &name, bound, requests.get(&name), limits.get(&name), broken);
    }
}

type Amount<'a> = Option<&'a Quantity>;

fn minimum(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Amount<'_>,
    limit: Amount<'_>,
    broken: &mut Vec<String>,
) {
    let said = format!("minimum {name} usage per {kind} is {bound}");
    match (request, limit) {
        (None, _) => broken.push(format!("{said}.  No request is specified")),
        (Some(request), _) if *request < bound => broken.push(format!("{said}, but request is {request}")),
        (_, Some(limit)) if *limit < bound => broken.push(format!("{said}, but limit is {limit}")),
        _ => {}
    }
}

fn maximum(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Amount<'_>,
    limit: Amount<'_>,
    broken: &mut Vec<String>,
) {
    let said = format!("maximum {name} usage per {kind} is {bound}");
    match (request, limit) {
        (_, None) => broken.push(format!("{said}.  No limit is specified")),
        (_, Some(limit)) if *limit > bound => broken.push(format!("{said}, but limit is {limit}")),
        (Some(request), _) if *request > bound => broken.push(format!("{said}, but request is {request}")),
        _ => {}
    }
}

fn ratio(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Amount<'_>,
    limit: Amount<'_>,
    broken: &mut Vec<String>,
) {
    let said = format!("{name} max limit to request ratio per {kind} is {bound}");
    let positive = |amount: Amount<'_>| amount.copied().filter(|a| !a.is_zero());
    match (positive(request), positive(limit)) {
        (None, _) => broken.push(format!("{said}, but no request is specified or request is 0")),
        (_, None) => broken.push(format!("{said}, but no limit is specified or limit is 0")),
        (Some(request), Some(limit)) => {
            let observed = limit.to_f64() / request.to_f64();
            if observed > bound.to_f64() {
                broken.push(format!("{said}, but provided ratio is {observed:.6}"));
            }
        }
    }
}
