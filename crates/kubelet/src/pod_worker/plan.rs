//! What to do next for a pod: a pure function of the pod, the runtime's view and the probes.

use std::collections::HashMap;

use api_types::k8s::api::core::v1::{Container, Pod};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;

use crate::cri::labels::spec_hash;
use crate::cri::view::{ContainerView, PodView, State};
use crate::pod::PodExt;
use crate::pod::containers::{Kind, as_container, init_kind, restarts};
use crate::steps::kill::Target;

/// What to do, in this order: kill, sandbox, start.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Whether everything that runs ends first, because the sandbox is to be replaced.
    pub kill_pod: bool,
    /// The attempt number of a sandbox to make.
    pub create_sandbox: Option<u32>,
    /// Containers to end, with the text of their events.
    pub kill: Vec<(Target, String)>,
    /// Containers to start, in order.
    pub start: Vec<Start>,
}

/// A container to start.
#[derive(Debug, PartialEq)]
pub struct Start {
    /// What it is for.
    pub kind: Kind,
    /// The container.
    pub container: Container,
    /// Attempts before this one that the runtime knows.
    pub attempt: u32,
    /// When the last attempt ended; back-off counts from here.
    pub after: Option<Time>,
    /// Whether this very plan ends the last attempt, because a probe has given it up.
    pub unhealthy: bool,
}

/// What the plan needs to know about probes.
pub struct Health<'a> {
    /// Containers that a liveness or startup probe has given up, by identifier, and why.
    pub failed: &'a HashMap<String, String>,
    /// Whether a container's startup probe has passed.
    pub started: &'a dyn Fn(&str, &str) -> bool,
}

/// The next actions.
pub fn plan(pod: &Pod, view: &PodView, health: &Health<'_>) -> Plan {
    match view.ready_sandbox().filter(|sandbox| {
        sandbox.host_network == pod.host_network() && (pod.host_network() || !sandbox.ips.is_empty())
    }) {
        Some(sandbox) => in_sandbox(pod, view, &sandbox.id, health),
        None => new_sandbox(pod, view),
    }
}

/// There is no sandbox to work in. A new one runs all init containers again.
fn new_sandbox(pod: &Pod, view: &PodView) -> Plan {
    let first = view.sandboxes.is_empty();
    let empty = PodView::default();
    // What has ended for good does not run again only because its sandbox is gone.
    let unfinished = pod.spec().containers.iter().any(|container| {
        view.container(&container.name).is_none_or(|found| match found.state {
            State::Exited => restarts(pod, Kind::Regular, container, found.exit_code),
            // It was running in a sandbox that is gone: for restartPolicy Never that was its one chance.
            _ => restarts(pod, Kind::Regular, container, 137),
        })
    });
    let mut plan = Plan { kill_pod: !first, ..Plan::default() };
    if unfinished {
        plan.create_sandbox = Some(view.sandbox().map_or(0, |sandbox| sandbox.attempt + 1));
        let no_probes = Health { failed: &HashMap::new(), started: &|_, _| false };
        plan.start = in_sandbox(pod, &empty, "", &no_probes).start;
        // Ephemeral containers run once, and only in a pod that runs.
        plan.start.retain(|start| start.kind != Kind::Ephemeral);
        for start in &mut plan.start {
            start.attempt = next_attempt(view, &start.container.name);
        }
    }
    plan
}

fn in_sandbox(pod: &Pod, view: &PodView, sandbox: &str, health: &Health<'_>) -> Plan {
    let mut plan = Plan::default();
    let here = |name: &str| view.container(name).filter(|container| container.sandbox == sandbox);
    for ephemeral in pod.spec().ephemeral_containers.iter().flatten() {
        if view.container(&ephemeral.name).is_none() {
            plan.start.push(start(view, Kind::Ephemeral, &as_container(ephemeral), None));
        }
    }
    let spec = pod.spec();
    let begun = spec.containers.iter().any(|container| here(&container.name).is_some());
    for container in spec.init_containers.iter().flatten() {
        let kind = init_kind(container);
        if begun && kind == Kind::Init {
            continue;
        }
        let found = here(&container.name);
        let next = step(pod, view, kind, container, found, health, &mut plan);
        let passed = match (kind, found) {
            (Kind::Sidecar, Some(found)) => {
                found.state == State::Running && (health.started)(&container.name, &found.id)
            }
            (_, Some(found)) => found.state == State::Exited && found.exit_code == 0,
            (_, None) => false,
        };
        if let Some(next) = next {
            plan.start.push(next);
        }
        if !passed && !begun {
            return plan;
        }
    }
    for container in &spec.containers {
        let next = step(pod, view, Kind::Regular, container, here(&container.name), health, &mut plan);
        plan.start.extend(next);
    }
    plan
}

/// What one container needs: nothing, an end, a start, or both.
fn step(
    pod: &Pod,
    view: &PodView,
    kind: Kind,
    container: &Container,
    found: Option<&std::sync::Arc<ContainerView>>,
    health: &Health<'_>,
    plan: &mut Plan,
) -> Option<Start> {
    let Some(found) = found else { return Some(start(view, kind, container, None)) };
    let end = |plan: &mut Plan, why: String| {
        plan.kill.push((Target { id: found.id.clone(), name: found.name.clone() }, why));
    };
    match found.state {
        State::Running => {
            let name = &container.name;
            let changed = !found.hash.is_empty() && found.hash != spec_hash(container);
            if changed && kind != Kind::Init {
                end(plan, format!("Container {name} definition changed, will be restarted"));
                return Some(start(view, kind, container, None));
            }
            let why = health.failed.get(&found.id)?;
            if restarts(pod, kind, container, 137) {
                end(plan, format!("Container {name} failed {why}, will be restarted"));
                return Some(Start { unhealthy: true, ..start(view, kind, container, None) });
            }
            end(plan, format!("Container {name} failed {why}"));
            None
        }
        State::Unknown => {
            end(
                plan,
                format!("Container {} is in unknown state, try killing it before restart", container.name),
            );
            Some(start(view, kind, container, None))
        }
        // Left by a start that was cut short.
        State::Created => Some(start(view, kind, container, None)),
        State::Exited => restarts(pod, kind, container, found.exit_code)
            .then(|| start(view, kind, container, found.finished_at.clone())),
    }
}

fn start(view: &PodView, kind: Kind, container: &Container, after: Option<Time>) -> Start {
    Start {
        kind,
        container: container.clone(),
        attempt: next_attempt(view, &container.name),
        after,
        unhealthy: false,
    }
}

fn next_attempt(view: &PodView, name: &str) -> u32 {
    view.container(name).map_or(0, |container| container.attempt + 1)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
