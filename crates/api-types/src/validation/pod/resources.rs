//! Requests and limits of containers and pods.

use serde_json::Value;

use crate::field::{Error, ErrorList, Path};
use crate::name;
use crate::quantity::Quantity;
use crate::validation::check::NOT_NEGATIVE;
use crate::validation::get::{entries, get, items, quantity, text};

const HUGE_PAGES: &str = "hugepages-";
/// Resources that quotas and nodes count in whole units.
const WHOLE: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_native(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

fn is_extended(resource: &str) -> bool {
    !is_native(resource)
        && !resource.starts_with("requests.")
        && name::qualified_name(&format!("requests.{resource}")).is_empty()
}

fn may_be_overcommitted(resource: &str) -> bool {
    is_native(resource) && !resource.starts_with(HUGE_PAGES)
}

fn is_compute(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory")
}

/// A quantity is not negative, and whole where the resource is counted.
pub(in crate::validation) fn quantity_value(
    errors: &mut ErrorList,
    path: &Path<'_>,
    resource: &str,
    value: &Value,
) {
    let amount = quantity(value);
    if amount.signum() < 0 {
        errors.invalid(path, value.clone(), NOT_NEGATIVE);
    }
    if (WHOLE.contains(&resource) || is_extended(resource)) && !amount.is_integer() {
        errors.invalid(path, value.clone(), "must be an integer");
    }
}

/// Huge pages are taken whole.
fn huge_pages(errors: &mut ErrorList, path: &Path<'_>, resource: &str, value: &Value) {
    let Some(size) = resource.strip_prefix(HUGE_PAGES).and_then(|size| size.parse::<Quantity>().ok()) else {
        return;
    };
    let amount = quantity(value);
    if size.value() > 0 && amount.value() % size.value() != 0 {
        let shown = amount.to_string();
        let detail = format!("{shown} is not positive integer multiple of {resource}");
        errors.invalid(path, shown, detail);
    }
}

/// The name of a resource: standard ones have no domain.
pub(in crate::validation) fn resource_name(errors: &mut ErrorList, path: &Path<'_>, resource: &str) -> bool {
    let wrong = name::qualified_name(resource);
    let valid = wrong.is_empty();
    errors.invalid_each(path, resource, wrong);
    let standard = |r: &str| {
        WHOLE.contains(&r)
            || r.starts_with(HUGE_PAGES)
            || matches!(r, "cpu" | "memory" | "ephemeral-storage" | "storage")
            || r.strip_prefix("requests.").or_else(|| r.strip_prefix("limits.")).is_some()
    };
    if valid && !resource.contains('/') && !standard(resource) {
        errors.invalid(path, resource, "must be a standard resource type or fully qualified");
    }
    valid
}

fn container_resource_name(errors: &mut ErrorList, path: &Path<'_>, resource: &str) {
    resource_name(errors, path, resource);
    if !resource.contains('/') {
        let standard =
            matches!(resource, "cpu" | "memory" | "ephemeral-storage") || resource.starts_with(HUGE_PAGES);
        if !standard {
            errors.invalid(path, resource, "must be a standard resource for containers");
        }
    } else if !is_native(resource) && !is_extended(resource) {
        errors.invalid(path, resource, "doesn't follow extended resource name standard");
    }
}

/// A plain list of resources, such as a pod's overhead.
pub(in crate::validation) fn list(errors: &mut ErrorList, path: &Path<'_>, resources: &Value) {
    for (resource, value) in resources.as_object().into_iter().flatten() {
        let path = path.key(resource);
        container_resource_name(errors, &path, resource);
        quantity_value(errors, &path, resource, value);
    }
}

/// `resources` of a container. `claims` are the names in the pod's `resourceClaims`.
pub(super) fn container(errors: &mut ErrorList, path: &Path<'_>, resources: Option<&Value>, claims: &[&str]) {
    let Some(resources) = resources else { return };
    let limits = path.child("limits");
    for (resource, value) in entries(resources, "limits") {
        let path = limits.key(resource);
        container_resource_name(errors, &path, resource);
        quantity_value(errors, &path, resource, value);
        huge_pages(errors, &path, resource, value);
    }
    requests(errors, path, resources, container_resource_name);
    let named = |wanted: fn(&str) -> bool| {
        entries(resources, "limits").chain(entries(resources, "requests")).any(|(r, _)| wanted(r))
    };
    if named(|r| r.starts_with(HUGE_PAGES)) && !named(is_compute) {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
    claim_names(errors, &path.child("claims"), resources, claims);
}

fn requests(
    errors: &mut ErrorList,
    path: &Path<'_>,
    resources: &Value,
    check_name: fn(&mut ErrorList, &Path<'_>, &str),
) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    for (resource, value) in entries(resources, "requests") {
        let at = requests.key(resource);
        check_name(errors, &at, resource);
        quantity_value(errors, &at, resource, value);
        huge_pages(errors, &at, resource, value);
        let limit = resources.get("limits").and_then(|l| get(l, resource));
        match limit {
            Some(limit) => {
                let (asked, allowed) = (quantity(value), quantity(limit));
                if asked != allowed && !may_be_overcommitted(resource) {
                    let detail = format!("must be equal to {resource} limit of {allowed}");
                    errors.invalid(&requests, value.clone(), detail);
                } else if asked > allowed {
                    let detail = format!("must be less than or equal to {resource} limit of {allowed}");
                    errors.invalid(&requests, value.clone(), detail);
                }
            }
            None if !may_be_overcommitted(resource) => {
                errors.required(&limits, "Limit must be set for non overcommitable resources");
            }
            None => {}
        }
    }
}

fn claim_names(errors: &mut ErrorList, path: &Path<'_>, resources: &Value, known: &[&str]) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, claim) in items(resources, "claims").iter().enumerate() {
        let path = path.index(i);
        let (claim, request) = (text(claim, "name"), text(claim, "request"));
        if claim.is_empty() {
            errors.required(&path, "");
            continue;
        }
        if seen.contains(&(claim, request)) {
            let shown = if request.is_empty() { claim.to_owned() } else { format!("{claim}/{request}") };
            errors.duplicate(&path, shown);
        }
        seen.push((claim, request));
        if !known.contains(&claim) {
            let mut error = Error::not_found(&path, claim);
            let list = if known.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", known.join(", "))
            };
            error.detail = format!("must be one of the names in pod.spec.resourceClaims{list}");
            errors.push(error);
        }
    }
}

/// `spec.resources` (KEP-2837): what the containers ask for together must fit.
pub(super) fn pod_level(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(resources) = get(spec, "resources") else { return };
    let limits = path.child("limits");
    for (resource, value) in entries(resources, "limits") {
        let path = limits.key(resource);
        pod_resource_name(errors, &path, resource);
        quantity_value(errors, &path, resource, value);
    }
    requests(errors, path, resources, pod_resource_name);
    let requests = path.child("requests");
    for (resource, value) in entries(resources, "requests") {
        let together: Quantity = containers_request(spec, resource);
        if quantity(value) < together {
            let detail =
                format!("must be greater than or equal to aggregate container requests of {together}");
            errors.invalid(&requests.key(resource), value.clone(), detail);
        }
    }
}

fn pod_resource_name(errors: &mut ErrorList, path: &Path<'_>, resource: &str) {
    if !is_compute(resource) && !resource.starts_with(HUGE_PAGES) {
        errors.not_supported(path, resource, &["cpu", HUGE_PAGES, "memory"]);
    }
}

/// What the containers and the sidecars ask for, or one init container if it asks for more.
fn containers_request(spec: &Value, resource: &str) -> Quantity {
    let of = |container: &Value| {
        let found = container.pointer("/resources/requests").and_then(|r| get(r, resource));
        found.map(quantity).unwrap_or_default()
    };
    let mut sidecars = Quantity::ZERO;
    let mut largest = Quantity::ZERO;
    for init in items(spec, "initContainers") {
        if text(init, "restartPolicy") == "Always" {
            sidecars += of(init);
            largest = largest.max(sidecars);
        } else {
            largest = largest.max(sidecars + of(init));
        }
    }
    let running: Quantity = items(spec, "containers").iter().map(of).sum();
    largest.max(running + sidecars)
}
