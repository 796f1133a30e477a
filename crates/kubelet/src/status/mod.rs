//! From what the runtime and the probes say to the pod's status in the API.
//!
//! [`generate()`] is pure; [`writer`] sends what changed to the API server.

mod conditions;
mod containers;
mod phase;
pub mod writer;

use std::collections::HashMap;

use api_types::k8s::api::core::v1::{HostIP, Pod, PodCondition, PodIP, PodStatus};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;

use crate::cri::view::PodView;
use crate::pod::PodExt;
use containers::Lists;

/// What the status is made from, beside the pod and the runtime's view.
pub struct Context<'a> {
    /// The last status: what this kubelet wrote, or after a start what the API has.
    pub old: &'a PodStatus,
    /// Why containers do not run, by container name: reason and message.
    pub waiting: &'a HashMap<String, (String, String)>,
    /// What the probes say.
    pub probes: &'a dyn Probed,
    /// Node addresses, the primary first.
    pub host_ips: &'a [String],
    /// Whether nothing of the pod runs any more and nothing will.
    pub ended: bool,
    /// Reason and message of a pod that the kubelet itself has failed (evicted, deadline, not admitted).
    pub verdict: Option<&'a (String, String)>,
    /// The time.
    pub now: Time,
}

/// Results of probes.
pub trait Probed {
    /// Whether the startup probe of this attempt has passed (true without one).
    fn started(&self, container: &str, id: &str) -> bool;
    /// Whether the readiness probe of this attempt succeeds (true without one).
    fn ready(&self, container: &str, id: &str) -> bool;
}

/// The status of a pod.
pub fn generate(pod: &Pod, view: &PodView, context: &Context<'_>) -> PodStatus {
    // A pod that was refused has never had containers.
    let refused =
        context.verdict.is_some() && view.sandboxes.is_empty() && context.old.container_statuses.is_none();
    let lists = if refused { Lists::default() } else { containers::statuses(pod, view, context) };
    let phase = match context.old.phase.as_deref() {
        // A pod that has ended stays ended, whatever is left of it in the runtime.
        Some(phase @ ("Succeeded" | "Failed")) => phase.to_owned(),
        _ if context.verdict.is_some() => "Failed".to_owned(),
        _ => phase::of(pod, &lists, context.ended).to_owned(),
    };
    let (reason, message) = match (context.verdict, phase.as_str()) {
        (Some((reason, message)), _) => (Some(reason.clone()), Some(message.clone())),
        (None, "Succeeded" | "Failed") => (context.old.reason.clone(), context.old.message.clone()),
        _ => (None, None),
    };
    let mut status = PodStatus {
        phase: Some(phase),
        reason,
        message,
        observed_generation: pod.metadata.generation,
        qos_class: Some(pod.qos().as_str().to_owned()),
        start_time: context.old.start_time.clone().or_else(|| Some(context.now.clone())),
        init_container_statuses: lists.init,
        container_statuses: lists.regular,
        ephemeral_container_statuses: lists.ephemeral,
        ..context.old.clone()
    };
    addresses(pod, view, context, &mut status);
    status.conditions = Some(conditions::all(pod, view, &status, context));
    status
}

/// Takes the conditions that others own from the pod as the API has it.
pub fn adopt_foreign_conditions(status: &mut PodStatus, pod: &Pod) {
    if pod.status.is_none() {
        return;
    }
    let mut kept: Vec<_> = status.conditions.take().unwrap_or_default();
    kept.retain(|condition| conditions::OWNED.contains(&condition.type_.as_str()));
    kept.extend(foreign_conditions(pod).cloned());
    status.conditions = Some(kept);
}

/// Conditions of a pod that are not the kubelet's.
pub fn foreign_conditions(pod: &Pod) -> impl Iterator<Item = &PodCondition> {
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    all.filter(|condition| !conditions::OWNED.contains(&condition.type_.as_str()))
}

fn addresses(pod: &Pod, view: &PodView, context: &Context<'_>, status: &mut PodStatus) {
    status.host_ip = context.host_ips.first().cloned();
    status.host_ips = (!context.host_ips.is_empty())
        .then(|| context.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let ips: Vec<String> = if pod.host_network() {
        context.host_ips.to_vec()
    } else {
        view.ready_sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default()
    };
    // An ended pod keeps the addresses it had, so that readers can still tell who it was.
    if !ips.is_empty() {
        status.pod_ip = ips.first().cloned();
        status.pod_ips = Some(ips.into_iter().map(|ip| PodIP { ip }).collect());
    }
}

#[cfg(test)]
mod tests;
