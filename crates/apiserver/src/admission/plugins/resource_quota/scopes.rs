//! Quota scopes: which pods (and claims) a quota is about.

use serde_json::Value;

use crate::admission::Request;
use crate::admission::plugins::support::{containers, list, text};

/// Whether an object is within all scopes of a quota.
pub(super) fn match_all(quota: &Value, request: &Request<'_>, object: &Value) -> bool {
    let plain =
        list(quota, "/spec/scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", &[][..]));
    let selected = list(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .map(|e| (text(e, "/scopeName"), text(e, "/operator"), list(e, "/values")));
    plain.chain(selected).all(|(scope, operator, values)| matches(scope, operator, values, request, object))
}

fn matches(scope: &str, operator: &str, values: &[Value], request: &Request<'_>, object: &Value) -> bool {
    let spec = &object["spec"];
    if request.is_any("", "persistentvolumeclaims") {
        let class = text(object, "/spec/volumeAttributesClassName");
        return scope == "VolumeAttributesClass" && named(class, operator, values);
    }
    if !request.is_any("", "pods") {
        return false;
    }
    let terminating = || spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    match scope {
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "BestEffort" => is_best_effort(spec),
        "NotBestEffort" => !is_best_effort(spec),
        "PriorityClass" => named(text(object, "/spec/priorityClassName"), operator, values),
        "CrossNamespacePodAffinity" => crosses_namespaces(spec),
        _ => false,
    }
}

fn named(name: &str, operator: &str, values: &[Value]) -> bool {
    let listed = values.iter().any(|v| v == name);
    match operator {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        _ => false,
    }
}

/// Whether no container asks for cpu or memory.
fn is_best_effort(spec: &Value) -> bool {
    let asks = |of: &Value| {
        ["requests", "limits"].iter().any(|part| {
            let map = of.pointer(&format!("/resources/{part}")).and_then(Value::as_object);
            map.is_some_and(|m| m.contains_key("cpu") || m.contains_key("memory"))
        })
    };
    !asks(spec)
        && !containers(spec).any(|(field, container)| field != "ephemeralContainers" && asks(container))
}

/// Whether a pod's affinity looks at pods of other namespaces.
fn crosses_namespaces(spec: &Value) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let at = |list_name: &str| list(spec, &format!("/affinity/{kind}/{list_name}"));
        let required = at("requiredDuringSchedulingIgnoredDuringExecution").iter();
        let preferred =
            at("preferredDuringSchedulingIgnoredDuringExecution").iter().map(|p| &p["podAffinityTerm"]);
        required
            .chain(preferred)
            .any(|term| !list(term, "/namespaces").is_empty() || !term["namespaceSelector"].is_null())
    })
}
