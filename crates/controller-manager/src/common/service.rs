//! What the endpoint controllers ask of services and pods.

use std::collections::HashMap;
use std::net::IpAddr;

use api_types::k8s::api::core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use api_types::k8s::apimachinery::pkg::util::intstr::IntOrString;
use client::{Change, Informer, Key};
use jiff::Timestamp;

use super::{pods, selector};

/// The spec of a service whose endpoints controllers keep: one with a selector that is not an external name.
pub fn selecting(service: &Service) -> Option<&ServiceSpec> {
    let spec = service.spec.as_ref()?;
    let has_selector = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    (has_selector && spec.type_.as_deref() != Some("ExternalName")).then_some(spec)
}

/// Whether the service has no cluster IP on purpose.
pub fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

/// Whether a pod belongs to a service's endpoints at all: bound, with an address, not finished.
pub fn is_candidate(pod: &Pod, include_leaving: bool) -> bool {
    !pods::is_terminal(pod)
        && !pods::node(pod).is_empty()
        && !addresses(pod).is_empty()
        && (include_leaving || pod.metadata.deletion_timestamp.is_none())
}

/// The pod's addresses.
pub fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all = status.pod_ips.iter().flatten().map(|entry| entry.ip.as_str());
    let mut found: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
    if found.is_empty() {
        found.extend(status.pod_ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
    }
    found
}

/// The port that a service port means on this pod; `None` when it names a port that the pod lacks.
pub fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec.init_containers.iter().flatten();
            let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
            let ports =
                spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
            let protocol = |text: &Option<String>| text.clone().unwrap_or_else(|| "TCP".to_owned());
            let mut named = ports.filter(|candidate| candidate.name.as_ref() == Some(name));
            named
                .find(|candidate| protocol(&candidate.protocol) == protocol(&port.protocol))
                .map(|p| p.container_port)
        }
    }
}

/// The DNS host name that the pod asks for under this service.
pub fn host_name(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let under = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname
        .clone()
        .filter(|name| !name.is_empty() && under && pod.metadata.namespace == service.metadata.namespace)
}

/// The reference to a pod in endpoints.
pub fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The services that a change of a pod may concern: those that select its labels before or after.
pub fn of_pod(change: &Change<Pod>, services: &Informer<Service>) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.metadata.uid == new.metadata.uid
        && !matters(old, new)
    {
        return Vec::new();
    }
    let candidates = services.store().list_namespace(&change.key.namespace);
    let selects = |service: &Service| {
        let Some(spec) = selecting(service) else { return false };
        let selector = selector::of_map(spec.selector.as_ref());
        change.states().any(|pod| selector::matches(&selector, &pod.metadata))
    };
    candidates.iter().filter(|service| selects(service)).map(|service| Key::of(&**service)).collect()
}

/// Whether anything changed that endpoints are made of.
fn matters(old: &Pod, new: &Pod) -> bool {
    let view = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        (
            pod.metadata.labels.clone(),
            pod.metadata.deletion_timestamp.is_some(),
            addresses(pod),
            pods::is_ready(pod),
            pods::is_terminal(pod),
            pods::node(pod).to_owned(),
            spec.and_then(|spec| spec.hostname.clone()),
        )
    };
    view(old) != view(new)
}

/// Remembers which changes of a service and its pods were told already, to stamp writes with the time of the change that
/// caused them.
#[derive(Debug, Default)]
pub struct TriggerTimes {
    known: HashMap<Key, (Timestamp, HashMap<String, Timestamp>)>,
}

impl TriggerTimes {
    /// The earliest change since the last call for this service.
    pub fn next<'a>(
        &mut self,
        key: &Key,
        service: &Service,
        pods: impl Iterator<Item = &'a Pod>,
    ) -> Option<Timestamp> {
        let created =
            service.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let now: HashMap<String, Timestamp> = pods
            .filter_map(|pod| {
                let ready = pods::condition(pod, "Ready")?.last_transition_time.as_ref()?.0;
                Some((pod.metadata.name.clone()?, ready))
            })
            .collect();
        let before = self.known.insert(key.clone(), (created, now.clone()));
        let (service_before, pods_before) = before.unwrap_or_default();
        let fresh_pods =
            now.iter().filter(|(name, at)| pods_before.get(*name).is_none_or(|before| *at > before));
        let fresh_service = (created > service_before).then_some(created);
        fresh_pods.map(|(_, at)| *at).chain(fresh_service).min()
    }

    /// Forgets a service.
    pub fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }
}

/// A time as the trigger annotation spells it.
pub fn stamp(at: Timestamp) -> String {
    api_types::time::format_seconds(at)
}
