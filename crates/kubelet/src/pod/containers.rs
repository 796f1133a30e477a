//! The containers of a pod by kind.

use api_types::k8s::api::core::v1::{Container, EphemeralContainer, Pod};

use super::{PodExt, RestartPolicy};

/// What a container is for; decides when it starts and whether it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Runs to completion before the next container starts.
    Init,
    /// An init container with restartPolicy Always: keeps running beside the others (KEP-753).
    Sidecar,
    /// An ordinary container.
    Regular,
    /// Added to a running pod for debugging; never restarted.
    Ephemeral,
}

/// The kind of an entry of spec.initContainers.
pub fn init_kind(container: &Container) -> Kind {
    if container.restart_policy.as_deref() == Some("Always") { Kind::Sidecar } else { Kind::Init }
}

/// All containers of a pod with their kind, ephemeral ones last, in spec order.
pub fn all(pod: &Pod) -> Vec<(Kind, Container)> {
    let spec = pod.spec();
    let init =
        spec.init_containers.iter().flatten().map(|container| (init_kind(container), container.clone()));
    let regular = spec.containers.iter().map(|container| (Kind::Regular, container.clone()));
    let ephemeral = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|container| (Kind::Ephemeral, as_container(container)));
    init.chain(regular).chain(ephemeral).collect()
}

/// One container by name.
pub fn find(pod: &Pod, name: &str) -> Option<(Kind, Container)> {
    let spec = pod.spec();
    if let Some(found) = spec.containers.iter().find(|container| container.name == name) {
        return Some((Kind::Regular, found.clone()));
    }
    if let Some(found) = spec.init_containers.iter().flatten().find(|container| container.name == name) {
        return Some((init_kind(found), found.clone()));
    }
    let found = spec.ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
    Some((Kind::Ephemeral, as_container(found)))
}

/// The same container in the shape of ordinary ones (the target container is in the pod spec only).
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let from = ephemeral.clone();
    Container {
        args: from.args,
        command: from.command,
        env: from.env,
        env_from: from.env_from,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        lifecycle: from.lifecycle,
        liveness_probe: from.liveness_probe,
        name: from.name,
        ports: from.ports,
        readiness_probe: from.readiness_probe,
        resize_policy: from.resize_policy,
        resources: from.resources,
        restart_policy: from.restart_policy,
        restart_policy_rules: from.restart_policy_rules,
        security_context: from.security_context,
        startup_probe: from.startup_probe,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        tty: from.tty,
        volume_devices: from.volume_devices,
        volume_mounts: from.volume_mounts,
        working_dir: from.working_dir,
    }
}

/// Whether an ended container is to be started again: its own policy and rules (KEP-5307) first, then the pod's.
pub fn restarts(pod: &Pod, kind: Kind, container: &Container, exit_code: i32) -> bool {
    match kind {
        Kind::Ephemeral => return false,
        Kind::Sidecar => return true,
        Kind::Init | Kind::Regular => {}
    }
    for rule in container.restart_policy_rules.iter().flatten() {
        let matches = rule.exit_codes.as_ref().is_some_and(|codes| {
            let listed = codes.values.iter().flatten().any(|value| *value == exit_code);
            listed == (codes.operator == "In")
        });
        if matches && rule.action == "Restart" {
            return true;
        }
    }
    let policy = match container.restart_policy.as_deref() {
        Some("Always") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        _ => pod.restart_policy(),
    };
    match (policy, kind) {
        (RestartPolicy::Never, _) => false,
        // An init container that succeeded is done, whatever the policy.
        (RestartPolicy::OnFailure, _) | (RestartPolicy::Always, Kind::Init) => exit_code != 0,
        (RestartPolicy::Always, _) => true,
    }
}
