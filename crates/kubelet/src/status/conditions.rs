//! The pod's conditions. Those that others own are left as they are.

use api_types::k8s::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodStatus};

use super::Context;
use crate::cri::view::PodView;
use crate::pod::PodExt;
use crate::pod::containers::{Kind, init_kind};

/// Conditions that the kubelet owns.
pub const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// All conditions of a pod whose other status fields are set.
pub fn all(pod: &Pod, view: &PodView, status: &PodStatus, context: &Context<'_>) -> Vec<PodCondition> {
    let phase = status.phase.as_deref().unwrap_or_default();
    let containers_ready = containers_ready(pod, status, phase);
    let ready = ready(pod, &containers_ready, context.old);
    let sandboxed = view.ready_sandbox().is_some_and(|sandbox| pod.host_network() || !sandbox.ips.is_empty());
    let own = [
        ("PodReadyToStartContainers", if sandboxed { Verdict::yes() } else { Verdict::no("", "") }),
        ("Initialized", initialized(pod, status, phase)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Verdict::yes()),
    ];
    let old = context.old.conditions.as_deref().unwrap_or_default();
    let mut conditions: Vec<PodCondition> =
        own.into_iter().map(|(name, verdict)| condition(pod, name, verdict, old, context)).collect();
    conditions.extend(old.iter().filter(|condition| !OWNED.contains(&condition.type_.as_str())).cloned());
    let disrupted = conditions.iter().any(|condition| condition.type_ == "DisruptionTarget");
    if let Some((_, message)) = context.verdict.filter(|(reason, _)| reason == "Evicted" && !disrupted) {
        let verdict =
            Verdict { holds: true, reason: "TerminationByKubelet".into(), message: message.clone() };
        conditions.push(condition(pod, "DisruptionTarget", verdict, old, context));
    }
    conditions
}

/// True, or false with a reason and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    holds: bool,
    reason: String,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Self { holds: true, reason: String::new(), message: String::new() }
    }

    fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { holds: false, reason: reason.into(), message: message.into() }
    }
}

fn condition(
    pod: &Pod,
    name: &str,
    verdict: Verdict,
    old: &[PodCondition],
    context: &Context<'_>,
) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let before = old.iter().find(|condition| condition.type_ == name);
    let since = before
        .filter(|before| before.status == status)
        .and_then(|before| before.last_transition_time.clone());
    let text = |text: String| (!text.is_empty()).then_some(text);
    PodCondition {
        type_: name.into(),
        status: status.into(),
        reason: text(verdict.reason),
        message: text(verdict.message),
        last_transition_time: since.or_else(|| Some(context.now.clone())),
        last_probe_time: None,
        observed_generation: pod.metadata.generation,
    }
}

fn initialized(pod: &Pod, status: &PodStatus, phase: &str) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { reason: "PodCompleted".into(), ..Verdict::yes() };
    }
    let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
    let begun = status.container_statuses.iter().flatten().any(|status| {
        // The API shows a state that was never set as an empty one.
        let ran = |state: &ContainerState| state.running.is_some() || state.terminated.is_some();
        status.state.iter().chain(&status.last_state).any(ran)
    });
    let incomplete: Vec<&str> = pod
        .spec()
        .init_containers
        .iter()
        .flatten()
        .filter(|container| {
            let status = statuses.iter().find(|status| status.name == container.name);
            match init_kind(container) {
                Kind::Sidecar => !begun && status.is_none_or(|status| status.started != Some(true)),
                _ => !begun && !status.is_some_and(|status| status.ready),
            }
        })
        .map(|container| container.name.as_str())
        .collect();
    if incomplete.is_empty() {
        Verdict::yes()
    } else {
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        Verdict::no("ContainersNotInitialized", message)
    }
}

fn containers_ready(pod: &Pod, status: &PodStatus, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", ""),
        "Failed" => return Verdict::no("PodFailed", ""),
        _ => {}
    }
    let sidecars: Vec<&str> = pod
        .spec()
        .init_containers
        .iter()
        .flatten()
        .filter(|container| init_kind(container) == Kind::Sidecar)
        .map(|container| container.name.as_str())
        .collect();
    let find = |list: &Option<Vec<ContainerStatus>>, name: &str| -> Option<bool> {
        list.iter().flatten().find(|status| status.name == name).map(|status| status.ready)
    };
    let regular = pod.spec().containers.iter().map(|container| container.name.as_str());
    let all = sidecars
        .iter()
        .map(|name| (*name, find(&status.init_container_statuses, name)))
        .chain(regular.map(|name| (name, find(&status.container_statuses, name))));
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for (name, ready) in all {
        match ready {
            None => unknown.push(name),
            Some(false) => unready.push(name),
            Some(true) => {}
        }
    }
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !unready.is_empty() {
        parts.push(format!("containers with unready status: [{}]", unready.join(" ")));
    }
    if parts.is_empty() { Verdict::yes() } else { Verdict::no("ContainersNotReady", parts.join(", ")) }
}

fn ready(pod: &Pod, containers: &Verdict, old: &PodStatus) -> Verdict {
    if !containers.holds {
        return containers.clone();
    }
    let mut messages = Vec::new();
    for gate in pod.spec().readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        let found = old.conditions.iter().flatten().find(|condition| condition.type_ == *name);
        match found {
            None => messages
                .push(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
            Some(condition) if condition.status != "True" => messages.push(format!(
                "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                condition.status
            )),
            Some(_) => {}
        }
    }
    if messages.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", messages.join(", "))
    }
}
