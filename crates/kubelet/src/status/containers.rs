//! Status of each container.

use api_types::k8s::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, Pod, VolumeMountStatus,
};

use super::Context;
use crate::cri::view::{ContainerView, PodView, State};
use crate::pod::PodExt;
use crate::pod::containers::{Kind, as_container, init_kind, restarts};

/// Container statuses in the order of the spec; `None` for a list that the spec does not have.
#[derive(Debug, Default)]
pub struct Lists {
    /// Of spec.initContainers.
    pub init: Option<Vec<ContainerStatus>>,
    /// Of spec.containers.
    pub regular: Option<Vec<ContainerStatus>>,
    /// Of spec.ephemeralContainers.
    pub ephemeral: Option<Vec<ContainerStatus>>,
}

/// Statuses of all containers.
pub fn statuses(pod: &Pod, view: &PodView, context: &Context<'_>) -> Lists {
    let spec = pod.spec();
    let old = context.old;
    let init: Vec<ContainerStatus> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|container| {
            one(pod, init_kind(container), container, view, context, &old.init_container_statuses, true)
        })
        .collect();
    let initializing = init.iter().zip(spec.init_containers.iter().flatten()).any(|(status, container)| {
        if init_kind(container) == Kind::Sidecar { status.started != Some(true) } else { !status.ready }
    });
    let regular = spec.containers.iter().map(|container| {
        one(pod, Kind::Regular, container, view, context, &old.container_statuses, initializing)
    });
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|ephemeral| {
        let container = as_container(ephemeral);
        one(pod, Kind::Ephemeral, &container, view, context, &old.ephemeral_container_statuses, false)
    });
    let (regular, ephemeral): (Vec<_>, Vec<_>) = (regular.collect(), ephemeral.collect());
    let listed = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    Lists { init: listed(init), regular: listed(regular), ephemeral: listed(ephemeral) }
}

fn one(
    pod: &Pod,
    kind: Kind,
    container: &Container,
    view: &PodView,
    context: &Context<'_>,
    old: &Option<Vec<ContainerStatus>>,
    initializing: bool,
) -> ContainerStatus {
    let old = old.iter().flatten().find(|status| status.name == container.name);
    let Some(found) = view.container(&container.name) else {
        return absent(kind, container, context, old, initializing && has_init(pod));
    };
    let mut status = present(kind, container, found, context);
    status.last_state =
        view.previous(&container.name).filter(|p| p.state == State::Exited).map(|p| ended_state(p));
    // A container that will run again is "waiting"; how it ended is its last state.
    let again =
        found.state == State::Exited && !context.ended && restarts(pod, kind, container, found.exit_code)
            || found.state == State::Created;
    if let (Some((reason, message)), true) = (context.waiting.get(&container.name), again) {
        if found.state == State::Exited {
            status.last_state = status.state.take();
        }
        status.state = Some(waiting(reason, Some(message)));
    }
    status.restart_count = status.restart_count.max(old.map_or(0, |old| old.restart_count));
    status.volume_mounts = volume_mounts(container);
    status
}

/// The container has never been made, or the runtime has lost it.
fn absent(
    kind: Kind,
    container: &Container,
    context: &Context<'_>,
    old: Option<&ContainerStatus>,
    initializing: bool,
) -> ContainerStatus {
    let ended = matches!(context.old.phase.as_deref(), Some("Succeeded" | "Failed")) || context.ended;
    if let Some(old) = old {
        let terminated = old.state.as_ref().is_some_and(|state| state.terminated.is_some());
        if terminated && (ended || kind == Kind::Init || kind == Kind::Ephemeral) {
            return ContainerStatus { ready: kind == Kind::Init && succeeded(old), ..old.clone() };
        }
        if old.state.as_ref().is_some_and(|state| state.running.is_some()) {
            return lost(old, ended);
        }
    }
    let default = if initializing { "PodInitializing" } else { "ContainerCreating" };
    let state = match context.waiting.get(&container.name) {
        Some((reason, message)) => waiting(reason, Some(message)),
        None => waiting(default, None),
    };
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        state: Some(state),
        last_state: old.and_then(|old| old.last_state.clone()),
        restart_count: old.map_or(0, |old| old.restart_count),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    }
}

fn lost(old: &ContainerStatus, ended: bool) -> ContainerStatus {
    let terminated = ContainerState {
        terminated: Some(ContainerStateTerminated {
            reason: Some("ContainerStatusUnknown".into()),
            message: Some("The container could not be located when the pod was terminated".into()),
            exit_code: 137,
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    };
    let mut status = ContainerStatus { ready: false, started: Some(false), ..old.clone() };
    if ended {
        status.state = Some(terminated);
    } else {
        status.last_state = Some(terminated);
        status.state = Some(waiting("ContainerCreating", None));
        status.restart_count += 1;
        status.container_id = None;
    }
    status
}

fn present(
    kind: Kind,
    container: &Container,
    found: &ContainerView,
    context: &Context<'_>,
) -> ContainerStatus {
    let running = found.state == State::Running;
    let started = running && context.probes.started(&container.name, &found.id);
    let ready = match kind {
        Kind::Init => found.state == State::Exited && found.exit_code == 0,
        Kind::Ephemeral => false,
        Kind::Regular | Kind::Sidecar => {
            started && !context.ended && context.probes.ready(&container.name, &found.id)
        }
    };
    let state = match found.state {
        State::Running => ContainerState {
            running: Some(ContainerStateRunning { started_at: found.started_at.clone() }),
            ..ContainerState::default()
        },
        State::Exited => ended_state(found),
        State::Created | State::Unknown => waiting("ContainerCreating", None),
    };
    ContainerStatus {
        name: container.name.clone(),
        container_id: Some(format!("containerd://{}", found.id)),
        image: image_name(container, found),
        image_id: found.image_ref.clone(),
        ready,
        started: Some(started),
        restart_count: i32::try_from(found.attempt).unwrap_or(i32::MAX),
        resources: running.then(|| container.resources.clone()).flatten(),
        allocated_resources: container
            .resources
            .as_ref()
            .filter(|_| running)
            .and_then(|r| r.requests.clone()),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

fn ended_state(found: &ContainerView) -> ContainerState {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let default_reason = if found.exit_code == 0 { "Completed" } else { "Error" };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: found.exit_code,
            reason: text(&found.reason).or_else(|| text(default_reason)),
            message: text(&found.message),
            started_at: found.started_at.clone(),
            finished_at: found.finished_at.clone(),
            container_id: Some(format!("containerd://{}", found.id)),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

/// Containers are started by image identifier, so the runtime may name them by it; users know them by name.
fn image_name(container: &Container, found: &ContainerView) -> String {
    let wanted = container.image.clone().unwrap_or_default();
    if found.image.starts_with("sha256:") || found.image.is_empty() {
        crate::images::with_default_tag(&wanted).unwrap_or(wanted)
    } else {
        found.image.clone()
    }
}

fn waiting(reason: &str, message: Option<&str>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: message.filter(|message| !message.is_empty()).map(str::to_owned),
        }),
        ..ContainerState::default()
    }
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref()?;
    let status = |mount: &api_types::k8s::api::core::v1::VolumeMount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: mount.read_only.filter(|read_only| *read_only).map(|_| "Disabled".into()),
        ..VolumeMountStatus::default()
    };
    Some(mounts.iter().map(status).collect())
}

fn succeeded(status: &ContainerStatus) -> bool {
    let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    terminated.is_some_and(|terminated| terminated.exit_code == 0)
}

fn has_init(pod: &Pod) -> bool {
    pod.spec().init_containers.as_ref().is_some_and(|containers| !containers.is_empty())
}
