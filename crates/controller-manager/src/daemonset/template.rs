//! The pod that a DaemonSet wants on a node.

use api_types::k8s::api::apps::v1::DaemonSet;
use api_types::k8s::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, Toleration,
};
use client::kube::ResourceExt;
use client::owner;

use crate::common::history::HASH_LABEL;
use crate::common::pods;

/// Label and annotation of a template's generation, from before there were revisions.
pub(super) const GENERATION_LABEL: &str = "pod-template-generation";
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// What a daemon bears because it belongs to its node: key and effect.
const BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The tolerations of the set's pods: the template's, and those of every daemon.
pub(super) fn tolerations(set: &DaemonSet) -> Vec<Toleration> {
    let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let mut all = spec.and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let host_network = spec.is_some_and(|spec| spec.host_network == Some(true));
    for (key, effect) in BORNE.into_iter().chain(host_network.then_some(NETWORK)) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !all.contains(&toleration) {
            all.push(toleration);
        }
    }
    all
}

/// The pod for one node.
pub(super) fn pod(set: &DaemonSet, hash: &str, node: &str) -> Pod {
    let template = set.spec.clone().unwrap_or_default().template;
    let namespace = set.namespace().unwrap_or_default();
    let mut pod = pods::from_template(&template, &namespace, &set.name_any(), owner::controller_ref(set));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    if let Some(generation) = set.annotations().get(GENERATION_ANNOTATION) {
        labels.insert(GENERATION_LABEL.to_owned(), generation.clone());
    }
    let spec = pod.spec.get_or_insert_default();
    spec.tolerations = Some(tolerations(set));
    pin(spec.affinity.get_or_insert_default(), node);
    pod
}

/// Replaces what the template says about nodes, which admitted this node already, by the node itself.
fn pin(affinity: &mut Affinity, node: &str) {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![requirement]), match_expressions: None };
    let node_affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    node_affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node a daemon pod is on, or is meant for.
pub(super) fn target(pod: &Pod) -> String {
    let bound = pods::node(pod);
    if !bound.is_empty() {
        return bound.to_owned();
    }
    let terms = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref())
        .map(|required| required.node_selector_terms.as_slice())
        .unwrap_or_default();
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let named = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
    named.filter_map(|field| field.values.as_ref()?.first().cloned()).next().unwrap_or_default()
}
