//! What controllers ask of pods.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use jiff::Timestamp;

/// Annotation that makes a pod cheaper or dearer to delete than its siblings.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Name of the index by node that [`client::informer::by_node`] makes.
pub const BY_NODE: &str = "node";
/// Name of the index that [`by_claim`] makes.
pub const BY_CLAIM: &str = "claim";

/// Index function: the claims that a pod uses, as `namespace/name`.
pub fn by_claim(pod: &Pod) -> Vec<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    claims(pod).map(|name| format!("{namespace}/{name}")).collect()
}

/// The claims that a pod uses, those made for its ephemeral volumes among them.
pub fn claims(pod: &Pod) -> impl Iterator<Item = String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(claim), _) => Some(claim.claim_name.clone()),
        (None, Some(_)) => Some(ephemeral_claim(pod, &volume.name)),
        _ => None,
    })
}

/// The name of the claim that is made for an ephemeral volume of a pod.
pub fn ephemeral_claim(pod: &Pod, volume: &str) -> String {
    format!("{}-{volume}", pod.metadata.name.as_deref().unwrap_or_default())
}

/// `status.phase`; empty when unset.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("")
}

/// Whether all containers have ended for good.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts as a replica: neither finished nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod is being deleted and still has running containers.
pub fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// A status condition.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Whether the pod may serve traffic.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// When the pod is (or was) available: ready for `min_ready` seconds. `None` while not ready.
pub fn available_at(pod: &Pod, min_ready: i32) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    if min_ready <= 0 {
        return Some(Timestamp::MIN);
    }
    let since = ready.last_transition_time.as_ref()?.0;
    since.checked_add(jiff::SignedDuration::from_secs(i64::from(min_ready))).ok()
}

/// Whether the pod has been ready for `min_ready` seconds.
pub fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    available_at(pod, min_ready).is_some_and(|at| at <= now)
}

/// The node the pod is bound to; empty when unbound.
pub fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("")
}

/// A pod made from a template: named after `prefix`, owned by `owner`.
pub fn from_template(
    template: &PodTemplateSpec,
    namespace: &str,
    prefix: &str,
    owner: OwnerReference,
) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            generate_name: Some(format!("{prefix}-")),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Containers' restarts, the most restarted counts.
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).max().unwrap_or(0)
}

/// Orders pods by how little is lost when they go, first to go first. `related` are the pods of all sets of the same
/// application: a pod on a node with many of them goes before one that stands alone.
pub fn by_deletion_rank(pods: &mut [Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
    let mut per_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *per_node.entry(node(pod)).or_default() += 1;
    }
    let rank = |pod: &Pod| per_node.get(node(pod)).copied().unwrap_or(0);
    pods.sort_by(|a, b| compare(a, b, rank(a), rank(b), now));
}

fn compare(a: &Pod, b: &Pod, rank_a: usize, rank_b: usize, now: Timestamp) -> Ordering {
    let phase_order = |pod: &Pod| match phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    // The first difference decides: unbound, pending, unready, cheap and crowded pods go first.
    let coarse = (!node(a).is_empty())
        .cmp(&!node(b).is_empty())
        .then_with(|| phase_order(a).cmp(&phase_order(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| rank_b.cmp(&rank_a));
    coarse
        .then_with(|| match (ready_since(a), ready_since(b)) {
            (Some(since_a), Some(since_b)) if is_ready(a) && is_ready(b) => {
                by_age(since_a, since_b, a, b, now)
            }
            _ => Ordering::Equal,
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| match (created(&a.metadata), created(&b.metadata)) {
            (Some(created_a), Some(created_b)) => by_age(created_a, created_b, a, b, now),
            _ => Ordering::Equal,
        })
}

/// Younger first; ages of the same power of two count as equal, so that among old pods chance (the uid) decides and
/// repeated scaling does not always hit the same node.
fn by_age(a: Timestamp, b: Timestamp, pod_a: &Pod, pod_b: &Pod, now: Timestamp) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match magnitude(now, a).cmp(&magnitude(now, b)) {
        Ordering::Equal => pod_a.metadata.uid.cmp(&pod_b.metadata.uid),
        other => other,
    }
}

fn magnitude(now: Timestamp, since: Timestamp) -> i64 {
    let seconds = now.duration_since(since).as_secs();
    if seconds <= 0 { -1 } else { i64::from(seconds.ilog2()) }
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    Some(condition(pod, "Ready")?.last_transition_time.as_ref()?.0)
}

fn created(meta: &ObjectMeta) -> Option<Timestamp> {
    Some(meta.creation_timestamp.as_ref()?.0)
}

fn deletion_cost(pod: &Pod) -> i32 {
    annotation(&pod.metadata, DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// An annotation's value.
pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Whether all of `wanted` are among `labels`.
pub fn has_labels(
    labels: Option<&BTreeMap<String, String>>,
    wanted: Option<&BTreeMap<String, String>>,
) -> bool {
    wanted.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// From now until `at`; zero when that has passed.
pub fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
