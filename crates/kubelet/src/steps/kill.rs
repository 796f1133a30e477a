//! Step: end containers, with their hooks and within their grace period.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::Pod;
use tokio::time::Instant;

use super::container::field_path;
use super::hooks::Hooks;
use crate::cri::view::PodView;
use crate::cri::{Error, Runtime, v1};
use crate::events::{Events, Severity};
use crate::pod::containers::{self, Kind};

/// However little grace is left, a container gets this long between its stop signal and the kill.
const LEAST: Duration = Duration::from_secs(2);

/// Ends containers and sandboxes. Idempotent: what has ended already is no error.
#[derive(Clone)]
pub struct Kill {
    runtime: Runtime,
    hooks: Hooks,
    events: Arc<dyn Events>,
}

/// A container to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Runtime's identifier.
    pub id: String,
    /// Name in the pod.
    pub name: String,
}

impl Kill {
    /// In this runtime.
    pub fn new(runtime: Runtime, hooks: Hooks, events: Arc<dyn Events>) -> Self {
        Self { runtime, hooks, events }
    }

    /// Ends a whole pod: ordinary containers together, then sidecars in reverse order, then the sandboxes.
    pub async fn pod(&self, pod: &Pod, view: &PodView, grace: i64, hooks: bool) -> Result<(), Error> {
        let deadline = Instant::now() + seconds(grace);
        let ip = view.sandbox().and_then(|sandbox| sandbox.ips.first()).map(String::as_str);
        let order: Vec<(Kind, String)> =
            containers::all(pod).into_iter().map(|(kind, container)| (kind, container.name)).collect();
        let kind = |name: &str| order.iter().find(|(_, known)| known == name).map(|(kind, _)| *kind);
        let message = |name: &str| format!("Stopping container {name}");
        let (sidecars, others): (Vec<_>, Vec<_>) =
            view.live().partition(|container| kind(&container.name) == Some(Kind::Sidecar));
        let targets: Vec<Target> = others.iter().map(|container| target(container)).collect();
        let all = targets.iter().map(|target| {
            let message = message(&target.name);
            async move { self.one(pod, target, &message, grace, hooks, ip).await }
        });
        futures::future::try_join_all(all).await?;
        let mut sidecars: Vec<_> = sidecars.into_iter().map(|container| target(container)).collect();
        let rank = |target: &Target| order.iter().position(|(_, name)| *name == target.name);
        sidecars.sort_by_key(|target| std::cmp::Reverse(rank(target)));
        for target in sidecars {
            let left =
                deadline.saturating_duration_since(Instant::now()).max(LEAST).min(seconds(grace).max(LEAST));
            let left = i64::try_from(left.as_secs()).unwrap_or(grace);
            self.one(pod, &target, &message(&target.name), left, hooks, ip).await?;
        }
        for sandbox in &view.sandboxes {
            self.sandbox(&sandbox.id).await?;
        }
        Ok(())
    }

    /// Ends one container: preStop hook, stop signal, kill when the grace period is over.
    pub async fn one(
        &self,
        pod: &Pod,
        target: &Target,
        message: &str,
        grace: i64,
        hooks: bool,
        ip: Option<&str>,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let grace = seconds(grace);
        let known = containers::find(pod, &target.name);
        let field = field_path(known.as_ref().map_or(Kind::Regular, |(kind, _)| *kind), &target.name);
        self.events.pod(pod, Some(&field), Severity::Normal, "Killing", message.into());
        let hook = known.as_ref().and_then(|(_, container)| container.lifecycle.as_ref()?.pre_stop.as_ref());
        if let (Some(hook), Some((_, container)), true) = (hook, &known, hooks && !grace.is_zero()) {
            match tokio::time::timeout(grace, self.hooks.run(container, hook, &target.id, ip)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let message = format!("PreStopHook failed: {error}");
                    self.events.pod(pod, Some(&field), Severity::Warning, "FailedPreStopHook", message);
                }
                Err(_) => {
                    tracing::warn!(container = target.name, "PreStop hook not completed in grace period")
                }
            }
        }
        let left = grace.saturating_sub(begun.elapsed());
        let left = if grace.is_zero() { grace } else { left.max(LEAST.min(grace)) };
        match self.runtime.stop_container(&target.id, left).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends a sandbox: its network and whatever still runs in it.
    pub async fn sandbox(&self, id: &str) -> Result<(), Error> {
        match self.runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: id.into() }).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn target(container: &crate::cri::view::ContainerView) -> Target {
    Target { id: container.id.clone(), name: container.name.clone() }
}

fn seconds(grace: i64) -> Duration {
    Duration::from_secs(u64::try_from(grace).unwrap_or(0))
}
