//! Towards the desired state: preparation, kills, sandbox, starts.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::super::Desired;
use super::super::plan::{self, Health, Plan, Start};
use super::{Retry, Worker};
use crate::cri::view::PodView;
use crate::events::Severity;
use crate::pod::containers::Kind;
use crate::pod::{PodExt, SharedPod};
use crate::report::chain;
use crate::status::Probed;
use crate::steps::container::{Failure, Into as Sandboxed, field_path};
use crate::steps::container_config::Job;
use crate::volumes::Mounted;

impl Worker {
    /// Brings the pod nearer to what is wanted; gives way at once when the pod has to end.
    pub(super) async fn advance(&mut self, pod: &SharedPod, view: PodView) -> Retry {
        let mut ending = self.desired.clone();
        let ended = async move {
            let stops = |desired: &Desired| desired.end.is_some() || desired.verdict.is_some();
            // The sender lives as long as this worker's handle; without it the kubelet is stopping.
            ending.wait_for(stops).await.is_err()
        };
        tokio::select! {
            result = self.prepare_and_act(pod, view) => result,
            _ = ended => Ok(Some(Instant::now())),
        }
    }

    async fn prepare_and_act(&mut self, pod: &SharedPod, mut view: PodView) -> Retry {
        let tools = self.tools.clone();
        if let Some(problem) = tools.host.runtime_problem() {
            return Err(format!("waiting for the container runtime: {problem}"));
        }
        let failed = |reason: &'static str, message: String| {
            tools.events.pod(pod, None, Severity::Warning, reason, message.clone());
            message
        };
        tools.steps.cgroup.ensure(pod).map_err(|error| failed("FailedCreatePodContainer", chain(&error)))?;
        tools
            .steps
            .directories
            .ensure(pod)
            .map_err(|error| failed("FailedToMakePodDataDirectories", error.to_string()))?;
        let facts = tools.host.facts(pod.host_network(), &self.ips(pod, &view));
        let volumes = tools.steps.volumes.set_up(pod, &facts).await;
        let volumes = volumes.map_err(|error| failed("FailedMount", error.to_string()))?;
        let results = self.probes.results();
        let given_up = results.given_up();
        let why = given_up.iter().map(|(id, given_up)| (id.clone(), given_up.what.to_owned())).collect();
        let started = |name: &str, id: &str| results.started(name, id);
        let plan = plan::plan(pod, &view, &Health { failed: &why, started: &started });
        self.end_some(pod, &view, &plan, &given_up).await?;
        if let Some(attempt) = plan.create_sandbox {
            tools.steps.sandbox.create(pod, attempt).await.map_err(|error| error.to_string())?;
            view = self.observe(pod).await?;
        }
        let retry = if plan.start.is_empty() {
            None
        } else {
            self.start_all(pod, view.clone(), &plan, &volumes).await?
        };
        tools.steps.clean_up.old_attempts(&view).await.map_err(|error| error.to_string())?;
        Ok(retry)
    }

    async fn end_some(
        &mut self,
        pod: &SharedPod,
        view: &PodView,
        plan: &Plan,
        given_up: &HashMap<String, crate::probes::GivenUp>,
    ) -> Result<(), String> {
        let tools = self.tools.clone();
        if plan.kill_pod {
            if plan.create_sandbox.is_some() {
                let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                tools.events.pod(pod, None, Severity::Normal, "SandboxChanged", message);
            }
            return tools
                .steps
                .kill
                .pod(pod, view, pod.grace_period(), true)
                .await
                .map_err(|error| error.to_string());
        }
        let ips = self.ips(pod, view);
        for (target, message) in &plan.kill {
            let grace =
                given_up.get(&target.id).and_then(|given_up| given_up.grace).unwrap_or(pod.grace_period());
            let killed = tools
                .steps
                .kill
                .one(pod, target, message, grace, true, ips.first().map(String::as_str))
                .await;
            killed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn start_all(&mut self, pod: &SharedPod, view: PodView, plan: &Plan, volumes: &Mounted) -> Retry {
        let tools = self.tools.clone();
        let Some(sandbox) = view.ready_sandbox() else { return Err("the sandbox is not ready".into()) };
        let ips = self.ips(pod, &view);
        tools
            .steps
            .sandbox
            .write_hosts(pod, &ips)
            .map_err(|error| format!("write /etc/hosts of the pod: {error}"))?;
        let config = tools.steps.sandbox.config(pod, sandbox.attempt);
        let secrets = tools.steps.sandbox.pull_secrets(pod).await;
        let into = Sandboxed { id: &sandbox.id, config: &config, secrets: &secrets };
        let mut retry: Option<Instant> = None;
        let mut failed = None;
        for start in &plan.start {
            let target = target_of(pod, &view, start);
            let job =
                Job { pod, container: &start.container, attempt: start.attempt, ips: &ips, volumes, target };
            match self.start_one(pod, start, &job, &into).await {
                Ok(()) => {
                    let view = self.observe(pod).await?;
                    self.publish(pod, &view, false);
                }
                Err(failure) => {
                    self.waiting.insert(
                        start.container.name.clone(),
                        (failure.reason.into(), failure.message.clone()),
                    );
                    match failure.retry {
                        Some(at) => retry = Some(retry.map_or(at, |known| known.min(at))),
                        None => failed = Some(failure),
                    }
                    // What comes after an init container needs it.
                    if matches!(start.kind, Kind::Init | Kind::Sidecar) {
                        break;
                    }
                }
            }
        }
        match failed {
            Some(failure) => {
                let view = self.observe(pod).await?;
                self.publish(pod, &view, false);
                Err(format!("{}: {}", failure.reason, failure.message))
            }
            None => Ok(retry),
        }
    }

    async fn start_one(
        &mut self,
        pod: &SharedPod,
        start: &Start,
        job: &Job<'_>,
        into: &Sandboxed<'_>,
    ) -> Result<(), Failure> {
        let name = &start.container.name;
        let now = Timestamp::now();
        let ended = start.after.as_ref().map(|ended| ended.0).or(start.unhealthy.then_some(now));
        if let Some(ended) = ended {
            if let Err(wait) = self.backoff.check(name, ended, now) {
                let message = format!(
                    "back-off {} restarting failed container={name} pod={}_{}({})",
                    short(wait.pause),
                    pod.name(),
                    pod.namespace(),
                    pod.uid()
                );
                let field = field_path(start.kind, name);
                let note = format!(
                    "Back-off restarting failed container {name} in pod {}_{}({})",
                    pod.name(),
                    pod.namespace(),
                    pod.uid()
                );
                self.tools.events.pod(pod, Some(&field), Severity::Warning, "BackOff", note);
                let retry = Some(Instant::now() + wait.left);
                return Err(Failure { reason: "CrashLoopBackOff", message, retry });
            }
            self.backoff.started(name, ended, now);
        }
        self.tools.steps.container.run(start.kind, job, into).await.map(drop)
    }
}

/// The identifier of the container whose processes an ephemeral container is to see.
fn target_of(pod: &SharedPod, view: &PodView, start: &Start) -> Option<String> {
    let ephemeral = pod.spec().ephemeral_containers.iter().flatten();
    let mut mine =
        ephemeral.filter(|container| start.kind == Kind::Ephemeral && container.name == start.container.name);
    let target = mine.next()?.target_container_name.as_deref().filter(|name| !name.is_empty())?;
    view.container(target).map(|container| container.id.clone())
}

/// Minutes and seconds as Go prints them: `10s`, `1m20s`, `5m0s`.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
