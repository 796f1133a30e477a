//! What the runtime holds of one pod, in the kubelet's terms.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;

use super::{Error, Runtime, labels, v1};

/// Sandboxes and containers of one pod, newest first.
#[derive(Debug, Clone, Default)]
pub struct PodView {
    /// Sandboxes, newest first.
    pub sandboxes: Vec<SandboxView>,
    /// Containers of all attempts, newest first.
    pub containers: Vec<Arc<ContainerView>>,
}

/// A sandbox: the network and other namespaces that a pod's containers share.
#[derive(Debug, Clone)]
pub struct SandboxView {
    /// Runtime's identifier.
    pub id: String,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// Whether its processes and network are up.
    pub ready: bool,
    /// Pod addresses, the primary first. Empty with host networking.
    pub ips: Vec<String>,
    /// Whether it was made with the node's own network.
    pub host_network: bool,
}

/// One attempt of a container.
#[derive(Debug, Clone)]
pub struct ContainerView {
    /// Runtime's identifier, without the runtime's name.
    pub id: String,
    /// Container name in the pod.
    pub name: String,
    /// How many attempts came before.
    pub attempt: u32,
    /// The sandbox it belongs to.
    pub sandbox: String,
    /// Life cycle state.
    pub state: State,
    /// Fingerprint of the spec that it was made from.
    pub hash: String,
    /// Image as the runtime names it.
    pub image: String,
    /// Image identifier with digest.
    pub image_ref: String,
    /// When it was created.
    pub created_at: Option<Time>,
    /// When its process started.
    pub started_at: Option<Time>,
    /// When its process ended.
    pub finished_at: Option<Time>,
    /// Exit code, once exited.
    pub exit_code: i32,
    /// Runtime's reason (`Completed`, `Error`, `OOMKilled`, …).
    pub reason: String,
    /// Runtime's message or the termination message.
    pub message: String,
    /// The log file.
    pub log_path: String,
    /// Where the termination message file is on the node, and the path in the container.
    pub termination_message: TerminationMessage,
    /// Grace period of the pod when the container was made, seconds.
    pub grace: Option<i64>,
}

/// Where a container leaves its last words.
#[derive(Debug, Clone, Default)]
pub struct TerminationMessage {
    /// File on the node.
    pub host_path: Option<String>,
    /// Whether the end of the log stands in for a missing message of a failed container.
    pub fall_back_to_logs: bool,
}

/// Life cycle state of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Made, not started.
    Created,
    /// Its process runs.
    Running,
    /// Its process has ended.
    Exited,
    /// The runtime does not know.
    Unknown,
}

impl PodView {
    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&SandboxView> {
        self.sandboxes.first()
    }

    /// The newest sandbox if it is ready.
    pub fn ready_sandbox(&self) -> Option<&SandboxView> {
        self.sandbox().filter(|sandbox| sandbox.ready)
    }

    /// The newest attempt of a container.
    pub fn container(&self, name: &str) -> Option<&Arc<ContainerView>> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The attempt before the newest.
    pub fn previous(&self, name: &str) -> Option<&Arc<ContainerView>> {
        self.containers.iter().filter(|container| container.name == name).nth(1)
    }

    /// Containers that are running, or may be.
    pub fn live(&self) -> impl Iterator<Item = &Arc<ContainerView>> {
        self.containers.iter().filter(|container| matches!(container.state, State::Running | State::Unknown))
    }
}

/// Reads a pod's view from the runtime. Exited containers never change, so their details are read once.
#[derive(Default)]
pub struct Observer {
    exited: HashMap<String, Arc<ContainerView>>,
}

impl Observer {
    /// The pod's state now.
    pub async fn observe(&mut self, runtime: &Runtime, uid: &str) -> Result<PodView, Error> {
        let (sandboxes, containers) =
            futures::try_join!(runtime.list_sandboxes(Some(uid)), runtime.list_containers(Some(uid)))?;
        let mut view = PodView::default();
        let mut sandboxes = sandboxes;
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        for (index, sandbox) in sandboxes.into_iter().enumerate() {
            if let Some(sandbox) = observe_sandbox(runtime, sandbox, index == 0).await? {
                view.sandboxes.push(sandbox);
            }
        }
        let mut seen = HashMap::new();
        for listed in containers {
            if let Some(known) = self.exited.get(&listed.id) {
                seen.insert(listed.id, known.clone());
                continue;
            }
            if let Some(container) = observe_container(runtime, listed).await? {
                seen.insert(container.id.clone(), Arc::new(container));
            }
        }
        view.containers = seen.values().cloned().collect();
        view.containers
            .sort_by(|a, b| (b.attempt, &b.created_at, &b.id).cmp(&(a.attempt, &a.created_at, &a.id)));
        seen.retain(|_, container| container.state == State::Exited);
        self.exited = seen;
        Ok(view)
    }
}

async fn observe_sandbox(
    runtime: &Runtime,
    listed: v1::PodSandbox,
    newest: bool,
) -> Result<Option<SandboxView>, Error> {
    let mut sandbox = SandboxView {
        attempt: listed.metadata.map_or(0, |metadata| metadata.attempt),
        ready: listed.state == v1::PodSandboxState::SandboxReady as i32,
        ips: Vec::new(),
        host_network: false,
        id: listed.id,
    };
    if !newest {
        return Ok(Some(sandbox));
    }
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox.id.clone(), verbose: false };
    let status = match runtime.pod_sandbox_status(request).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some(network) = status.network {
        sandbox.ips =
            std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|ip| ip.ip)).collect();
        sandbox.ips.retain(|ip| !ip.is_empty());
    }
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    sandbox.host_network = options.is_some_and(|options| options.network == v1::NamespaceMode::Node as i32);
    Ok(Some(sandbox))
}

async fn observe_container(runtime: &Runtime, listed: v1::Container) -> Result<Option<ContainerView>, Error> {
    let request = v1::ContainerStatusRequest { container_id: listed.id.clone(), verbose: false };
    let status = match runtime.container_status(request).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut view = container_view(listed.pod_sandbox_id, status);
    if view.state == State::Exited
        && let Some(words) = last_words(&view)
    {
        view.message = if view.message.is_empty() { words } else { format!("{}: {words}", view.message) };
    }
    Ok(Some(view))
}

/// The termination message: the file that the container may have written, or the end of the log of a failed one.
fn last_words(container: &ContainerView) -> Option<String> {
    const MAX_FILE: u64 = 4096;
    const MAX_LOG: (usize, usize) = (80, 2048);
    let path = container.termination_message.host_path.as_ref()?;
    let mut words = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE), &mut words).ok()?;
    if words.is_empty() && container.exit_code != 0 && container.termination_message.fall_back_to_logs {
        return crate::logs::tail(container.log_path.as_ref(), MAX_LOG.0, MAX_LOG.1).ok();
    }
    Some(String::from_utf8_lossy(&words).into_owned()).filter(|words| !words.is_empty())
}

fn container_view(sandbox: String, mut status: v1::ContainerStatus) -> ContainerView {
    let metadata = status.metadata.take().unwrap_or_default();
    let message_path = status.annotations.get(labels::TERMINATION_MESSAGE_PATH).cloned().unwrap_or_default();
    let host_path = status.mounts.iter().find(|mount| mount.container_path == message_path);
    let policy = status.annotations.get(labels::TERMINATION_MESSAGE_POLICY);
    let restarts = status.annotations.get(labels::RESTART_COUNT).and_then(|count| count.parse().ok());
    ContainerView {
        sandbox,
        attempt: restarts.unwrap_or(metadata.attempt),
        name: status.labels.remove(labels::CONTAINER_NAME).unwrap_or(metadata.name),
        state: match v1::ContainerState::try_from(status.state) {
            Ok(v1::ContainerState::ContainerCreated) => State::Created,
            Ok(v1::ContainerState::ContainerRunning) => State::Running,
            Ok(v1::ContainerState::ContainerExited) => State::Exited,
            Ok(v1::ContainerState::ContainerUnknown) | Err(_) => State::Unknown,
        },
        hash: status.annotations.get(labels::CONTAINER_HASH).cloned().unwrap_or_default(),
        image: status.image.take().map(|image| image.image).unwrap_or_default(),
        image_ref: status.image_ref,
        created_at: time(status.created_at),
        started_at: time(status.started_at),
        finished_at: time(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        log_path: status.log_path,
        termination_message: TerminationMessage {
            host_path: host_path.map(|mount| mount.host_path.clone()),
            fall_back_to_logs: policy.is_some_and(|policy| policy == "FallbackToLogsOnError"),
        },
        grace: status.annotations.get(labels::POD_TERMINATION_GRACE).and_then(|grace| grace.parse().ok()),
        id: status.id,
    }
}

/// CRI times are nanoseconds since the epoch; zero means "never".
fn time(nanoseconds: i64) -> Option<Time> {
    let nanoseconds = (nanoseconds > 0).then_some(nanoseconds)?;
    jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok().map(Time)
}
