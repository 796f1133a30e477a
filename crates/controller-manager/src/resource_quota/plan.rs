//! What a namespace uses, in the terms of a quota.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{
    PersistentVolumeClaim, Pod, PodSpec, ResourceQuota, ScopedResourceSelectorRequirement, Service,
};
use api_types::k8s::apimachinery::pkg::api::resource::Quantity as Wire;
use api_types::quantity::{Format, Quantity};
use client::Change;

use crate::common::pods;

/// Everything that can be counted in one namespace.
pub(super) struct Usage {
    pub pods: Vec<Arc<Pod>>,
    pub services: Vec<Arc<Service>>,
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    /// Objects by `plural.group`.
    pub counts: BTreeMap<String, usize>,
}

/// Plain names of core resources that are counted by number.
const PLAIN: [&str; 4] = ["configmaps", "secrets", "replicationcontrollers", "resourcequotas"];

/// The resource whose objects a quota name counts, as `plural.group`; `None` for names that mean something else.
pub(super) fn counted_resource(name: &str) -> Option<String> {
    if PLAIN.contains(&name) {
        return Some(name.to_owned());
    }
    let counted = name.strip_prefix("count/")?;
    (!["pods", "services", "persistentvolumeclaims"].contains(&counted)).then(|| counted.to_owned())
}

/// Whether a change of a pod can change a count.
pub(super) fn pod_matters(change: &Change<Pod>) -> bool {
    let view = |pod: &Arc<Pod>| {
        (
            pods::is_terminal(pod),
            pod.metadata.deletion_timestamp.is_some(),
            pod.spec.as_ref().map(requests_of),
        )
    };
    change.old.as_ref().map(view) != change.new.as_ref().map(view)
}

/// The use of everything that the quota limits.
pub(super) fn used(quota: &ResourceQuota, usage: &Usage) -> BTreeMap<String, Quantity> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let matching: Vec<&Arc<Pod>> =
        usage.pods.iter().filter(|pod| counts(pod) && in_scope(quota, pod)).collect();
    hard.keys().map(|name| (name.clone(), one(name, usage, &matching))).collect()
}

fn one(name: &str, usage: &Usage, matching: &[&Arc<Pod>]) -> Quantity {
    let number = |count: usize| Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi);
    let service_kind = |kind: &str| {
        let of_kind = |service: &&Arc<Service>| {
            service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some(kind)
        };
        number(usage.services.iter().filter(of_kind).count())
    };
    match name {
        "pods" | "count/pods" => number(matching.len()),
        "services" | "count/services" => number(usage.services.len()),
        "services.nodeports" => number(usage.services.iter().map(|service| node_ports(service)).sum()),
        "services.loadbalancers" => service_kind("LoadBalancer"),
        "persistentvolumeclaims" | "count/persistentvolumeclaims" => number(usage.claims.len()),
        "requests.storage" => {
            usage.claims.iter().map(|claim| storage(claim)).fold(Quantity::ZERO, |a, b| a + b)
        }
        _ => match counted_resource(name) {
            Some(resource) => number(usage.counts.get(&resource).copied().unwrap_or(0)),
            None => by_class(name, usage).unwrap_or_else(|| compute(name, matching)),
        },
    }
}

/// Node ports that a service holds.
fn node_ports(service: &Service) -> usize {
    let Some(spec) = &service.spec else { return 0 };
    let ports = spec.ports.iter().flatten();
    match spec.type_.as_deref() {
        Some("NodePort") => ports.count(),
        Some("LoadBalancer") => ports.filter(|port| port.node_port.unwrap_or(0) != 0).count(),
        _ => 0,
    }
}

fn storage(claim: &PersistentVolumeClaim) -> Quantity {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    requests.and_then(|requests| requests.get("storage")).map_or(Quantity::ZERO, parse)
}

/// `<class>.storageclass.storage.k8s.io/<what>`.
fn by_class(name: &str, usage: &Usage) -> Option<Quantity> {
    let (class, what) = name.split_once(".storageclass.storage.k8s.io/")?;
    let of_class = usage.claims.iter().filter(|claim| {
        claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()) == Some(class)
    });
    match what {
        "persistentvolumeclaims" => {
            Some(Quantity::new(i64::try_from(of_class.count()).ok()?, Format::DecimalSi))
        }
        "requests.storage" => Some(of_class.map(|claim| storage(claim)).fold(Quantity::ZERO, |a, b| a + b)),
        _ => None,
    }
}

/// The sum of a compute resource over pods: `cpu` and `requests.cpu` are requests, `limits.cpu` limits.
fn compute(name: &str, matching: &[&Arc<Pod>]) -> Quantity {
    let (limits, resource) = match name.split_once('.') {
        Some(("limits", resource)) => (true, resource),
        Some(("requests", resource)) => (false, resource),
        _ => (false, name),
    };
    let of = |pod: &&&Arc<Pod>| {
        let spec = pod.spec.as_ref()?;
        let (requests, bounds) = requests_of(spec);
        let map = if limits { bounds } else { requests };
        map.get(resource).copied()
    };
    matching.iter().filter_map(|pod| of(&pod)).fold(Quantity::ZERO, |a, b| a + b)
}

type Amounts = BTreeMap<String, Quantity>;

/// A pod's requests and limits: containers together, or the largest init container with the sidecars started before it.
fn requests_of(spec: &PodSpec) -> (Amounts, Amounts) {
    let total = |limits: bool| {
        let amounts = |container: &api_types::k8s::api::core::v1::Container| {
            let resources = container.resources.clone().unwrap_or_default();
            let map = if limits { resources.limits } else { resources.requests };
            map.unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, parse(&value)))
                .collect::<Amounts>()
        };
        let mut running = Amounts::new();
        for container in &spec.containers {
            add(&mut running, &amounts(container));
        }
        let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
        for container in spec.init_containers.iter().flatten() {
            let own = amounts(container);
            if container.restart_policy.as_deref() == Some("Always") {
                add(&mut running, &own);
                add(&mut sidecars, &own);
                raise(&mut peak, &sidecars);
            } else {
                let mut now = sidecars.clone();
                add(&mut now, &own);
                raise(&mut peak, &now);
            }
        }
        raise(&mut running, &peak);
        // What the pod as a whole asks for counts instead of its containers.
        let pod = spec.resources.clone().unwrap_or_default();
        for (name, value) in (if limits { pod.limits } else { pod.requests }).unwrap_or_default() {
            running.insert(name, parse(&value));
        }
        for (name, value) in spec.overhead.clone().unwrap_or_default() {
            if !limits || running.contains_key(&name) {
                let sum = running.get(&name).copied().unwrap_or(Quantity::ZERO) + parse(&value);
                running.insert(name, sum);
            }
        }
        running
    };
    (total(false), total(true))
}

fn add(sum: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        let total = sum.get(name).copied().unwrap_or(Quantity::ZERO) + *value;
        sum.insert(name.clone(), total);
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        if most.get(name).is_none_or(|known| known < value) {
            most.insert(name.clone(), *value);
        }
    }
}

fn parse(value: &Wire) -> Quantity {
    Quantity::parse(&value.0).unwrap_or(Quantity::ZERO)
}

/// Whether a pod uses anything: neither finished nor past its grace period.
fn counts(pod: &Pod) -> bool {
    let past =
        pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0);
    !pods::is_terminal(pod) && !past
}

fn in_scope(quota: &ResourceQuota, pod: &Pod) -> bool {
    let spec = quota.spec.clone().unwrap_or_default();
    let named = spec.scopes.unwrap_or_default().into_iter().map(|scope| ScopedResourceSelectorRequirement {
        scope_name: scope,
        operator: "Exists".to_owned(),
        values: None,
    });
    let selected = spec.scope_selector.and_then(|selector| selector.match_expressions).unwrap_or_default();
    named.chain(selected).all(|requirement| holds(&requirement, pod))
}

fn holds(requirement: &ScopedResourceSelectorRequirement, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    match requirement.scope_name.as_str() {
        "Terminating" => spec.is_some_and(|spec| spec.active_deadline_seconds.is_some()),
        "NotTerminating" => spec.is_none_or(|spec| spec.active_deadline_seconds.is_none()),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class =
                spec.and_then(|spec| spec.priority_class_name.as_deref()).filter(|class| !class.is_empty());
            let listed = || {
                let values = requirement.values.as_deref().unwrap_or_default();
                class.is_some_and(|class| values.iter().any(|value| value == class))
            };
            match requirement.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => class.is_some(),
                _ => class.is_none(),
            }
        }
        "CrossNamespacePodAffinity" => spec.is_some_and(crosses_namespaces),
        _ => false,
    }
}

fn is_best_effort(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let (requests, limits) = requests_of(spec);
    let asks = |amounts: &Amounts| {
        ["cpu", "memory"].iter().any(|name| amounts.get(*name).is_some_and(|value| !value.is_zero()))
    };
    !asks(&requests) && !asks(&limits)
}

fn crosses_namespaces(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let mut terms = Vec::new();
    if let Some(near) = &affinity.pod_affinity {
        terms.extend(near.required_during_scheduling_ignored_during_execution.iter().flatten());
        terms.extend(
            near.preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .map(|w| &w.pod_affinity_term),
        );
    }
    if let Some(far) = &affinity.pod_anti_affinity {
        terms.extend(far.required_during_scheduling_ignored_during_execution.iter().flatten());
        terms.extend(
            far.preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .map(|w| &w.pod_affinity_term),
        );
    }
    terms.iter().any(|term| {
        term.namespaces.as_ref().is_some_and(|list| !list.is_empty()) || term.namespace_selector.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::k8s::api::core::v1::{Container, ResourceQuotaSpec, ResourceRequirements};

    #[test]
    fn pods_are_summed_up_in_scope() {
        let container = |cpu: &str| Container {
            resources: Some(ResourceRequirements {
                requests: Some([("cpu".to_owned(), Wire(cpu.into()))].into()),
                ..ResourceRequirements::default()
            }),
            ..Container::default()
        };
        let pod = |cpu: Option<&str>| {
            let containers = vec![cpu.map_or_else(Container::default, container)];
            Arc::new(Pod { spec: Some(PodSpec { containers, ..PodSpec::default() }), ..Pod::default() })
        };
        let usage = Usage {
            pods: vec![pod(Some("100m")), pod(Some("1")), pod(None)],
            services: Vec::new(),
            claims: Vec::new(),
            counts: BTreeMap::from([("deployments.apps".to_owned(), 4)]),
        };
        let quota = |scopes: &[&str]| ResourceQuota {
            spec: Some(ResourceQuotaSpec {
                hard: Some(
                    ["pods", "requests.cpu", "count/deployments.apps"]
                        .map(|name| (name.to_owned(), Wire("9".into())))
                        .into(),
                ),
                scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
                ..ResourceQuotaSpec::default()
            }),
            ..ResourceQuota::default()
        };
        let text = |quota: &ResourceQuota| -> Vec<String> {
            used(quota, &usage).values().map(ToString::to_string).collect()
        };
        assert_eq!(text(&quota(&[])), ["4", "3", "1100m"]);
        assert_eq!(text(&quota(&["BestEffort"])), ["4", "1", "0"]);
    }
}
