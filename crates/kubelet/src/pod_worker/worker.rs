//! The task that owns one pod.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::PodStatus;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::plan::{self, Health, Plan, Start};
use super::{Desired, End, Tools};
use crate::cri::view::{Observer, PodView};
use crate::events::Severity;
use crate::pod::containers::Kind;
use crate::pod::{PodExt, SharedPod};
use crate::probes::PodProbes;
use crate::report::chain;
use crate::status::{self, Context, Probed};
use crate::steps::container::{Failure, Into as Sandboxed, field_path};
use crate::steps::container_config::Job;
use crate::volumes::Mounted;

/// Pauses after failures: first and longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// How often a pod is looked at while its init containers run, which often end sooner than the next listing.
const INITIALIZING: Duration = Duration::from_millis(200);
/// How long a terminating pod's containers have at least, seconds.
const LEAST_GRACE: i64 = 1;

/// Owns a pod.
pub struct Worker {
    tools: Arc<Tools>,
    desired: watch::Receiver<Desired>,
    wake: Arc<Notify>,
    observer: Observer,
    backoff: Backoff,
    probes: PodProbes,
    /// Why containers do not run, by name.
    waiting: HashMap<String, (String, String)>,
    /// The last status.
    status: Arc<PodStatus>,
    /// Why the kubelet has failed the pod.
    verdict: Option<(String, String)>,
    admitted: bool,
    /// Whether volumes and cgroup of a pod that came to its end are removed.
    tidied: bool,
    failures: u32,
    /// The last problem in the log.
    said: String,
}

/// What a turn ends in.
enum Next {
    /// Everything of the pod is gone.
    Done,
    /// Nothing to do until something happens or this time is over.
    Wait(Duration),
}

/// Something failed and will be tried again.
type Retry = Result<Option<Instant>, String>;

impl Worker {
    /// A worker for the pod in `desired`.
    pub fn new(tools: Arc<Tools>, desired: watch::Receiver<Desired>, wake: Arc<Notify>) -> Self {
        let status = Arc::new(desired.borrow().pod.status.clone().unwrap_or_default());
        let probes = PodProbes::new(tools.runtime.clone(), tools.events.clone(), wake.clone());
        let backoff = Backoff::new(tools.longest_backoff);
        Self {
            tools,
            desired,
            wake,
            observer: Observer::default(),
            backoff,
            probes,
            waiting: HashMap::new(),
            status,
            verdict: None,
            admitted: false,
            tidied: false,
            failures: 0,
            said: String::new(),
        }
    }

    /// Works until nothing of the pod is left.
    pub async fn run(mut self) {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            let pause = match self.turn(&desired).await {
                Ok(Next::Done) => return,
                Ok(Next::Wait(pause)) => {
                    self.failures = 0;
                    self.said.clear();
                    pause
                }
                Err(error) => {
                    self.failures += 1;
                    let pause = (RETRY.0 * 2u32.saturating_pow(self.failures.min(8) - 1)).min(RETRY.1);
                    self.complain(&desired.pod, error, pause);
                    pause
                }
            };
            tokio::select! {
                changed = self.desired.changed() => if changed.is_err() { return },
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Says once why the pod is not as wanted; repetitions are for who looks closely.
    fn complain(&mut self, pod: &SharedPod, error: String, pause: Duration) {
        if self.said == error {
            tracing::debug!(pod = pod.display(), error, retry_in = ?pause, "Pod not in its desired state yet");
            return;
        }
        tracing::warn!(pod = pod.display(), error, retry_in = ?pause, "Pod not in its desired state yet");
        self.said = error;
    }

    async fn turn(&mut self, desired: &Desired) -> Result<Next, String> {
        let pod = &desired.pod;
        let view = self.observe(pod).await?;
        if desired.end.is_some() {
            return self.finish(desired, view).await;
        }
        if let Some((reason, message, _)) = &desired.verdict {
            self.verdict = Some((reason.clone(), message.clone()));
        }
        self.check_deadline(pod);
        if !self.admitted && self.verdict.is_none() && !self.has_ended() {
            self.admit(pod, &view);
        }
        self.publish(pod, &view, false);
        if self.verdict.is_some() || self.has_ended() {
            return self.stop(desired, view).await;
        }
        let retry = self.advance(pod, view).await?;
        let view = self.observe(pod).await?;
        self.publish(pod, &view, false);
        if self.has_ended() {
            return self.stop(desired, view).await;
        }
        let mut pause = self.tools.sync_period;
        if let Some(at) = retry {
            pause = pause.min(at.saturating_duration_since(Instant::now()));
        }
        if let Some(left) = self.until_deadline(pod) {
            pause = pause.min(left);
        }
        if !self.initialized(pod, &view) {
            pause = pause.min(INITIALIZING);
        }
        Ok(Next::Wait(pause))
    }

    /// Whether the pod's own containers have been started, or wait for something else than an init container.
    fn initialized(&self, pod: &SharedPod, view: &PodView) -> bool {
        let spec = pod.spec();
        let begun = spec.containers.iter().any(|container| view.container(&container.name).is_some());
        let init = spec.init_containers.as_ref().is_none_or(Vec::is_empty);
        begun || init || !self.waiting.is_empty() || view.ready_sandbox().is_none()
    }

    async fn observe(&mut self, pod: &SharedPod) -> Result<PodView, String> {
        let view =
            self.observer.observe(&self.tools.runtime, pod.uid()).await.map_err(|error| error.to_string())?;
        let ips = self.ips(pod, &view);
        self.probes.sync(pod, &view, &ips, &self.status);
        for container in view.live() {
            self.waiting.remove(&container.name);
        }
        Ok(view)
    }

    fn ips(&self, pod: &SharedPod, view: &PodView) -> Vec<String> {
        if pod.host_network() {
            return self.tools.host.ips();
        }
        view.ready_sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default()
    }

    fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Works the status out and hands it on if it has changed.
    fn publish(&mut self, pod: &SharedPod, view: &PodView, ended: bool) {
        let results = self.probes.results();
        let context = Context {
            old: &self.status,
            waiting: &self.waiting,
            probes: results.as_ref(),
            host_ips: &self.tools.host.ips(),
            ended,
            verdict: self.verdict.as_ref(),
            now: Time(Timestamp::now()),
        };
        // Conditions of others come from the API, where they may have changed.
        let mut base = (*self.status).clone();
        status::adopt_foreign_conditions(&mut base, pod);
        let new = status::generate(pod, view, &Context { old: &base, ..context });
        if *self.status != new {
            self.status = Arc::new(new);
        }
        self.tools.registry.set_status(pod.uid(), self.status.clone());
        self.tools.sink.update(pod, self.status.clone());
    }

    /// Asks once whether the node takes the pod. A pod that is in the runtime already was taken before.
    fn admit(&mut self, pod: &SharedPod, view: &PodView) {
        let known = !view.sandboxes.is_empty();
        let admission = &self.tools.steps.admission;
        let decision = self
            .tools
            .registry
            .admit(pod.uid(), |others| if known { Ok(()) } else { admission.admit(pod, others) });
        match decision {
            Ok(()) => self.admitted = true,
            Err(refusal) => {
                self.tools.events.pod(pod, None, Severity::Warning, &refusal.reason, refusal.message.clone());
                self.verdict = Some((refusal.reason, format!("Pod was rejected: {}", refusal.message)));
            }
        }
    }

    fn until_deadline(&self, pod: &SharedPod) -> Option<Duration> {
        let seconds = pod.spec().active_deadline_seconds?;
        let start = self.status.start_time.as_ref()?.0;
        let end = start.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
        Some(Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default())
    }

    fn check_deadline(&mut self, pod: &SharedPod) {
        if self.verdict.is_none() && !self.has_ended() && self.until_deadline(pod) == Some(Duration::ZERO) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.tools.events.pod(pod, None, Severity::Normal, "DeadlineExceeded", message.clone());
            self.verdict = Some(("DeadlineExceeded".into(), message));
        }
    }

    /// Brings the pod nearer to what is wanted; gives way at once when the pod has to end.
    async fn advance(&mut self, pod: &SharedPod, view: PodView) -> Retry {
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

    /// The pod has come to its end but is still wanted: nothing runs, status and logs stay.
    async fn stop(&mut self, desired: &Desired, view: PodView) -> Result<Next, String> {
        let pod = &desired.pod;
        let live = view.live().next().is_some() || view.sandboxes.iter().any(|sandbox| sandbox.ready);
        if live {
            self.probes.stop_restarts();
            let grace = desired.verdict.as_ref().map_or(pod.grace_period(), |(_, _, grace)| *grace);
            self.kill(pod, &view, grace).await?;
        }
        let view = self.observe(pod).await?;
        if view.live().next().is_some() {
            return Err("containers are still running".into());
        }
        self.publish(pod, &view, true);
        if !self.tidied {
            let clean_up = &self.tools.steps.clean_up;
            clean_up.node_resources(pod.uid()).map_err(|error| chain(&error))?;
            self.tidied = true;
        }
        Ok(Next::Wait(self.tools.sync_period.max(Duration::from_secs(600))))
    }

    /// The pod has to go: end it, remove everything, and say so.
    async fn finish(&mut self, desired: &Desired, view: PodView) -> Result<Next, String> {
        let pod = &desired.pod;
        self.probes.stop_restarts();
        let live = view.live().next().is_some() || view.sandboxes.iter().any(|sandbox| sandbox.ready);
        if live {
            self.publish(pod, &view, false);
            let recorded = view.containers.iter().find_map(|container| container.grace);
            let grace = if pod.spec.is_some() { pod.grace_period() } else { recorded.unwrap_or(30) };
            self.kill(pod, &view, grace.max(LEAST_GRACE)).await?;
        }
        let view = self.observe(pod).await?;
        if view.live().next().is_some() {
            return Err("containers are still running".into());
        }
        self.publish(pod, &view, true);
        let clean_up = &self.tools.steps.clean_up;
        clean_up.runtime_objects(&view).await.map_err(|error| chain(&error))?;
        clean_up.node_resources(pod.uid()).map_err(|error| chain(&error))?;
        clean_up.logs(pod.uid()).map_err(|error| chain(&error))?;
        if desired.end == Some(End::Deleted) {
            self.tools.sink.gone(pod, self.status.clone());
        }
        tracing::info!(pod = pod.display(), uid = pod.uid(), "Pod is gone from this node");
        Ok(Next::Done)
    }

    /// Ends the pod's containers. A deletion with a shorter grace period takes effect at once.
    async fn kill(&mut self, pod: &SharedPod, view: &PodView, mut grace: i64) -> Result<(), String> {
        let tools = self.tools.clone();
        let mut hooks = true;
        loop {
            let kill = tools.steps.kill.pod(pod, view, grace, hooks);
            let desired = &mut self.desired;
            let shorter = async {
                loop {
                    if desired.changed().await.is_err() {
                        return std::future::pending().await;
                    }
                    let now = desired.borrow_and_update().pod.grace_period().max(LEAST_GRACE);
                    if now < grace {
                        return now;
                    }
                }
            };
            tokio::select! {
                result = kill => return result.map_err(|error| error.to_string()),
                now = shorter => {
                    grace = now;
                    // They have been running since the first request.
                    hooks = false;
                }
            }
        }
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
