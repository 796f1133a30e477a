//! Step: start one container, from image to postStart hook.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use api_types::k8s::api::core::v1::Secret;
use tokio::time::Instant;

use super::container_config::{Builder, Job};
use super::hooks::Hooks;
use super::kill::{self, Kill};
use crate::cri::{Runtime, v1};
use crate::events::{Events, Severity};
use crate::images::{self, Puller};
use crate::pod::PodExt;
use crate::pod::containers::Kind;

/// Starts containers. A container that an earlier try created but did not start is left to the plan, which removes it.
pub struct Start {
    pub(super) config: Builder,
    pub(super) puller: Puller,
    pub(super) runtime: Runtime,
    pub(super) hooks: Hooks,
    pub(super) kill: Kill,
    pub(super) events: Arc<dyn Events>,
}

/// The sandbox in which a container starts.
pub struct Into<'a> {
    /// Identifier.
    pub id: &'a str,
    /// Its configuration.
    pub config: &'a v1::PodSandboxConfig,
    /// Credentials for images.
    pub secrets: &'a [Secret],
}

/// Why a container does not run: its waiting reason and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Such as `ErrImagePull`.
    pub reason: &'static str,
    /// Cause and cure.
    pub message: String,
    /// When another try makes sense, if known.
    pub retry: Option<Instant>,
}

impl Failure {
    fn new(reason: &'static str, message: impl ToString) -> Self {
        Self { reason, message: message.to_string(), retry: None }
    }
}

impl Start {
    /// Starts the container; returns its identifier.
    pub async fn run(&self, kind: Kind, job: &Job<'_>, sandbox: &Into<'_>) -> Result<String, Failure> {
        let (pod, container) = (job.pod, job.container);
        let field = field_path(kind, &container.name);
        let image = self.puller.ensure(pod, container, &field, sandbox.secrets, sandbox.config).await;
        let image = image.map_err(|error| {
            let retry = if let images::Error::BackOff { until, .. } = &error { Some(*until) } else { None };
            if !matches!(error, images::Error::BackOff { .. }) {
                let message = format!("Error: {}", error.reason());
                self.events.pod(pod, Some(&field), Severity::Warning, "Failed", message);
            }
            Failure { reason: error.reason(), message: error.to_string(), retry }
        })?;
        let failed = |reason, message: String| {
            self.events.pod(pod, Some(&field), Severity::Warning, "Failed", format!("Error: {message}"));
            Failure::new(reason, message)
        };
        let config = self.config.build(job, &image).await;
        let config = config.map_err(|error| failed("CreateContainerConfigError", error.to_string()))?;
        let log = format!("{}/{}", sandbox.config.log_directory, config.log_path);
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.id.into(),
            config: Some(config),
            sandbox_config: Some(sandbox.config.clone()),
        };
        let created = self.runtime.create_container(request).await;
        let id = created.map_err(|error| failed("CreateContainerError", error.message()))?.container_id;
        self.events.pod(pod, Some(&field), Severity::Normal, "Created", "Container created".into());
        let started =
            self.runtime.start_container(v1::StartContainerRequest { container_id: id.clone() }).await;
        started.map_err(|error| failed("RunContainerError", error.message()))?;
        self.events.pod(pod, Some(&field), Severity::Normal, "Started", "Container started".into());
        self.link_log(job, &id, &log);
        self.post_start(job, &id, &field).await?;
        Ok(id)
    }

    async fn post_start(&self, job: &Job<'_>, id: &str, field: &str) -> Result<(), Failure> {
        let hook = job.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        let ip = job.ips.first().map(String::as_str);
        let Err(error) = self.hooks.run(job.container, hook, id, ip).await else { return Ok(()) };
        let message = format!("PostStartHook failed: {error}");
        self.events.pod(job.pod, Some(field), Severity::Warning, "FailedPostStartHook", message.clone());
        let target = kill::Target { id: id.into(), name: job.container.name.clone() };
        let reason = "FailedPostStartHook".to_owned();
        if let Err(error) = self.kill.one(job.pod, &target, &reason, job.pod.grace_period(), true, ip).await {
            tracing::warn!(pod = job.pod.display(), container = target.name, %error, "Container not stopped");
        }
        Err(Failure::new("PostStartHookError", message))
    }

    /// The link by which log collectors find the file and the pod it belongs to.
    fn link_log(&self, job: &Job<'_>, id: &str, log: &str) {
        let directory = self.config.paths.container_logs();
        let (pod, container) = (job.pod, job.container);
        let link = directory.join(format!("{}_{}_{}-{id}.log", pod.name(), pod.namespace(), container.name));
        let linked = std::fs::create_dir_all(&directory).and_then(|()| symlink(log, &link));
        if let Err(error) = linked {
            tracing::debug!(link = %link.display(), %error, "Log link not made");
        }
    }
}

/// The part of the pod that an event about a container is about.
pub fn field_path(kind: Kind, name: &str) -> String {
    let list = match kind {
        Kind::Init | Kind::Sidecar => "initContainers",
        Kind::Regular => "containers",
        Kind::Ephemeral => "ephemeralContainers",
    };
    format!("spec.{list}{{{name}}}")
}
