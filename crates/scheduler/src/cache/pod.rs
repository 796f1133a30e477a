//! A pod with everything that scheduling asks about it computed once.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{
    Affinity, Pod, PodAffinityTerm, PodSpec, PodStatus, WeightedPodAffinityTerm,
};
use client::Key;
use jiff::Timestamp;

use super::node_selector::{NodeTerm, Required};
use super::resources::Requests;
use super::term::{Labels, Term};

/// A port of the node that a pod wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Address, `0.0.0.0` for all.
    pub ip: Box<str>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
    /// Port number.
    pub port: i32,
}

/// A pod, immutable; a change of the pod makes a new one.
#[derive(Debug)]
pub struct PodInfo {
    /// The object.
    pub pod: Arc<Pod>,
    /// Namespace and name.
    pub key: Key,
    /// Unique id.
    pub uid: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// What it asks for.
    pub requests: Requests,
    /// Priority; higher goes first and may displace lower.
    pub priority: i32,
    /// Ports of the node.
    pub ports: Vec<HostPort>,
    /// What it requires of its node.
    pub node: Required,
    /// Node preferences with their weights.
    pub preferred_nodes: Vec<(i32, NodeTerm)>,
    /// Pods it must be beside.
    pub affinity: Vec<Term>,
    /// Pods it must not be beside.
    pub anti_affinity: Vec<Term>,
    /// Pods it likes (positive weight) or dislikes (negative) to be beside.
    pub preferred: Vec<(i32, Term)>,
    /// Claims it uses, by name, in the order of its volumes, with whether the claim is made for an ephemeral volume.
    pub claims: Vec<(Arc<str>, bool)>,
}

impl PodInfo {
    /// Computes everything about `pod`.
    pub fn new(pod: Arc<Pod>) -> Self {
        let key = Key::of(&*pod);
        let namespace = Arc::clone(&key.namespace);
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        let (required, anti, preferred) = affinity.map(|a| terms(a, &namespace)).unwrap_or_default();
        let preferred_nodes = affinity
            .and_then(|affinity| affinity.node_affinity.as_ref())
            .and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref())
            .into_iter()
            .flatten()
            .filter(|term| term.weight != 0)
            .map(|term| (term.weight, NodeTerm::new(&term.preference)))
            .collect();
        Self {
            uid: pod.metadata.uid.as_deref().unwrap_or_default().into(),
            requests: Requests::of(&pod),
            priority: pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0),
            ports: host_ports(pod.spec.as_ref()),
            node: Required::new(&pod),
            preferred_nodes,
            affinity: required,
            anti_affinity: anti,
            preferred,
            claims: claims(&pod),
            namespace,
            key,
            pod,
        }
    }

    /// The pod's labels.
    pub fn labels(&self) -> &Labels {
        static NONE: Labels = Labels::new();
        self.pod.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// The specification; the default one when there is none, which the apiserver does not allow.
    pub fn spec(&self) -> &PodSpec {
        static NONE: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&NONE)
    }

    /// The status.
    pub fn status(&self) -> Option<&PodStatus> {
        self.pod.status.as_ref()
    }

    /// The node it is bound to.
    pub fn node_name(&self) -> Option<&str> {
        self.spec().node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The node that its status names as reserved for it.
    pub fn nominated(&self) -> Option<&str> {
        self.status()?.nominated_node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether it is being deleted.
    pub fn terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether it has ended and uses nothing any more.
    pub fn finished(&self) -> bool {
        matches!(self.status().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
    }

    /// The scheduler that it asks for.
    pub fn scheduler_name(&self) -> &str {
        self.spec().scheduler_name.as_deref().unwrap_or("default-scheduler")
    }

    /// When it started; a pod that has not counts as newest.
    pub fn start_time(&self) -> Timestamp {
        self.status().and_then(|status| status.start_time.as_ref()).map_or(Timestamp::MAX, |time| time.0)
    }
}

type Terms = (Vec<Term>, Vec<Term>, Vec<(i32, Term)>);

fn terms(affinity: &Affinity, namespace: &Arc<str>) -> Terms {
    let one = |term: &PodAffinityTerm| Term::new(term, namespace);
    let weighted = |sign: i32, list: &Option<Vec<WeightedPodAffinityTerm>>| {
        let list = list.iter().flatten().filter(|term| term.weight != 0);
        list.map(|term| (sign * term.weight, one(&term.pod_affinity_term))).collect::<Vec<_>>()
    };
    let (mut required, mut anti, mut preferred) = Terms::default();
    if let Some(affinity) = &affinity.pod_affinity {
        let list = affinity.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.extend(list.map(one));
        preferred.extend(weighted(1, &affinity.preferred_during_scheduling_ignored_during_execution));
    }
    if let Some(affinity) = &affinity.pod_anti_affinity {
        let list = affinity.required_during_scheduling_ignored_during_execution.iter().flatten();
        anti.extend(list.map(one));
        preferred.extend(weighted(-1, &affinity.preferred_during_scheduling_ignored_during_execution));
    }
    (required, anti, preferred)
}

/// Host ports of containers and sidecars; other init containers have ended when the pod serves.
fn host_ports(spec: Option<&PodSpec>) -> Vec<HostPort> {
    let Some(spec) = spec else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
            Some(HostPort {
                ip: ip.into(),
                protocol: port.protocol.as_deref().unwrap_or("TCP").into(),
                port: number,
            })
        })
        .collect()
}

fn claims(pod: &Pod) -> Vec<(Arc<str>, bool)> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => Some((source.claim_name.as_str().into(), false)),
            (None, Some(_)) => Some((format!("{name}-{}", volume.name).into(), true)),
            (None, None) => None,
        })
        .collect()
}
