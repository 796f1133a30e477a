//! Which nodes get a pod, which pods go, and what the status says.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::int_or_string::IntOrString;
use api_types::k8s::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus};
use api_types::k8s::api::core::v1::{Node, Pod};
use jiff::Timestamp;

use super::template::{target, tolerations};
use crate::common::history::HASH_LABEL;
use crate::common::{pods, scheduling, selector};

/// The state of one set.
pub(super) struct Snapshot {
    pub set: Arc<DaemonSet>,
    /// Owned pods.
    pub pods: Vec<Arc<Pod>>,
    pub nodes: Vec<Arc<Node>>,
    /// Hash of the present template's revision.
    pub hash: String,
}

/// What to write.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Nodes that get a pod.
    pub create: Vec<String>,
    /// Pods that go.
    pub delete: Vec<Arc<Pod>>,
    /// Finished pods on nodes that should have a running one: they go too, but not faster than a back-off allows.
    pub replace: Vec<(String, Arc<Pod>)>,
}

/// Whether a node should get a pod, and whether one that is there may stay.
pub(super) fn wants(set: &DaemonSet, node: &Node) -> (bool, bool) {
    let Some(spec) = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) else {
        return (false, false);
    };
    let named = spec.node_name.as_deref().filter(|name| !name.is_empty());
    let other = named.is_some() && named != node.metadata.name.as_deref();
    if other || !scheduling::admits(spec, node) {
        return (false, false);
    }
    let tolerations = tolerations(set);
    // "Unschedulable" is a taint for everybody else.
    let repelled =
        |effects: &[&str]| scheduling::untolerated(scheduling::taints(node), &tolerations, effects).is_some();
    (!repelled(&["NoSchedule", "NoExecute"]), !repelled(&["NoExecute"]))
}

/// The next writes.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let spec = snapshot.set.spec.clone().unwrap_or_default();
    let by_node = by_node(snapshot);
    let surge = rolling(&spec).is_some_and(|_| limits(&spec, desired(snapshot)).0 > 0);
    let mut plan = Plan::default();
    let none = Vec::new();
    for node in &snapshot.nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        let (run, stay) = wants(&snapshot.set, node);
        let here = by_node.get(&name).unwrap_or(&none);
        if run && here.is_empty() {
            plan.create.push(name);
        } else if !stay {
            plan.delete.extend(here.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).cloned());
        } else {
            thin(snapshot, &name, here, surge, spec.min_ready_seconds.unwrap_or(0), now, &mut plan);
        }
    }
    let known = |node: &String| snapshot.nodes.iter().any(|known| known.metadata.name.as_ref() == Some(node));
    for (_, pods) in by_node.iter().filter(|(node, _)| !node.is_empty() && !known(node)) {
        // The node is gone: a pod that was never bound can go at once, the others are the pod collector's.
        plan.delete
            .extend(pods.iter().filter(|pod| pods::node(pod).is_empty() && pods::is_active(pod)).cloned());
    }
    if plan == Plan::default() && rolling(&spec).is_some() {
        roll(snapshot, &spec, &by_node, now, &mut plan);
    }
    plan
}

/// Leaves one running pod on a node: the oldest, or with surge also the oldest of the new ones until it is available.
fn thin(
    snapshot: &Snapshot,
    node: &str,
    here: &[Arc<Pod>],
    surge: bool,
    min_ready: i32,
    now: Timestamp,
    plan: &mut Plan,
) {
    let mut running: Vec<&Arc<Pod>> = Vec::new();
    for pod in here.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        if pods::is_terminal(pod) {
            plan.replace.push((node.to_owned(), Arc::clone(pod)));
        } else {
            running.push(pod);
        }
    }
    running.sort_by(|a, b| age(a).cmp(&age(b)));
    if !surge {
        plan.delete.extend(running.iter().skip(1).map(|pod| Arc::clone(pod)));
        return;
    }
    let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        running.into_iter().partition(|pod| is_new(pod, &snapshot.hash));
    plan.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| Arc::clone(pod)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && pods::is_available(new, min_ready, now)
    {
        plan.delete.push(Arc::clone(old));
    }
}

/// A rolling update: old pods go (or new ones come first, with surge) as far as the limits allow.
fn roll(
    snapshot: &Snapshot,
    spec: &DaemonSetSpec,
    by_node: &BTreeMap<String, Vec<Arc<Pod>>>,
    now: Timestamp,
    plan: &mut Plan,
) {
    let (surge, unavailable) = limits(spec, desired(snapshot));
    let available = |pod: &Pod| pods::is_available(pod, spec.min_ready_seconds.unwrap_or(0), now);
    let (mut at_once, mut in_turn, mut busy) = (Vec::new(), Vec::new(), 0);
    for node in snapshot.nodes.iter().filter(|node| wants(&snapshot.set, node).0) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let here = by_node.get(&name).map(Vec::as_slice).unwrap_or_default();
        let new = here.iter().find(|pod| is_new(pod, &snapshot.hash));
        let old = here.iter().find(|pod| !is_new(pod, &snapshot.hash));
        match (old, new) {
            (Some(_), Some(_)) => busy += 1,
            (Some(old), None) if old.metadata.deletion_timestamp.is_some() => busy += usize::from(surge == 0),
            (Some(old), None) if available(old) => in_turn.push((name, Arc::clone(old))),
            (Some(old), None) => {
                // Not available anyway: replacing it loses nothing.
                busy += usize::from(surge == 0);
                at_once.push((name, Arc::clone(old)));
            }
            (None, Some(new)) => busy += usize::from(surge == 0 && !available(new)),
            (None, None) => busy += usize::from(surge == 0),
        }
    }
    let limit = if surge > 0 { surge } else { unavailable };
    in_turn.truncate(limit.saturating_sub(busy));
    let chosen = at_once.into_iter().chain(in_turn);
    if surge > 0 {
        plan.create.extend(chosen.map(|(node, _)| node));
    } else {
        plan.delete.extend(chosen.map(|(_, pod)| pod));
    }
}

/// The status for the pods as they are.
pub(super) fn status(snapshot: &Snapshot, now: Timestamp) -> DaemonSetStatus {
    let old = snapshot.set.status.clone().unwrap_or_default();
    let min_ready = snapshot.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let by_node = by_node(snapshot);
    let mut status = DaemonSetStatus {
        observed_generation: snapshot.set.metadata.generation,
        collision_count: old.collision_count,
        conditions: old.conditions,
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    for node in &snapshot.nodes {
        let here = by_node
            .get(node.metadata.name.as_deref().unwrap_or_default())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let oldest = here.iter().min_by(|a, b| age(a).cmp(&age(b)));
        match (wants(&snapshot.set, node).0, oldest) {
            (true, Some(pod)) => {
                status.desired_number_scheduled += 1;
                status.current_number_scheduled += 1;
                status.number_ready += i32::from(pods::is_ready(pod));
                available += i32::from(pods::is_available(pod, min_ready, now));
                updated += i32::from(is_new(pod, &snapshot.hash));
            }
            (true, None) => status.desired_number_scheduled += 1,
            (false, Some(_)) => status.number_misscheduled += 1,
            (false, None) => {}
        }
    }
    let nonzero = |count: i32| (count != 0).then_some(count);
    status.updated_number_scheduled = nonzero(updated);
    status.number_available = nonzero(available);
    status.number_unavailable = nonzero(status.desired_number_scheduled - available);
    status
}

/// When the next ready pod becomes available.
pub(super) fn next_available(snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    let min_ready = snapshot.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    snapshot.pods.iter().filter_map(|pod| pods::available_at(pod, min_ready)).filter(|at| *at > now).min()
}

fn by_node(snapshot: &Snapshot) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in &snapshot.pods {
        by_node.entry(target(pod)).or_default().push(Arc::clone(pod));
    }
    by_node
}

fn desired(snapshot: &Snapshot) -> usize {
    snapshot.nodes.iter().filter(|node| wants(&snapshot.set, node).0).count()
}

fn is_new(pod: &Pod, hash: &str) -> bool {
    selector::labels(&pod.metadata).get(HASH_LABEL).is_some_and(|label| label == hash)
}

/// Oldest first; among equals the bound one, then by name.
fn age(pod: &Pod) -> impl Ord {
    (pod.metadata.creation_timestamp.clone(), pods::node(pod).is_empty(), pod.metadata.name.clone())
}

fn rolling(spec: &DaemonSetSpec) -> Option<()> {
    let on_delete =
        spec.update_strategy.as_ref().is_some_and(|strategy| strategy.type_.as_deref() == Some("OnDelete"));
    (!on_delete).then_some(())
}

/// How many nodes may have two pods, and how many none. At least one of them is not zero.
fn limits(spec: &DaemonSetSpec, desired: usize) -> (usize, usize) {
    let rolling = spec.update_strategy.clone().unwrap_or_default().rolling_update.unwrap_or_default();
    let resolve = |value: Option<IntOrString>, default: i32| {
        let value = value.unwrap_or(IntOrString::Int(default));
        let scaled = value.scaled(i64::try_from(desired).unwrap_or(i64::MAX), true).unwrap_or(0);
        usize::try_from(scaled).unwrap_or(0)
    };
    let surge = resolve(rolling.max_surge.as_ref().map(IntOrString::from), 0);
    let unavailable = resolve(rolling.max_unavailable.as_ref().map(IntOrString::from), 1);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}
