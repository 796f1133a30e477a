//! The task that owns one pod.

mod advance;
mod ending;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::PodStatus;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Desired, Tools};
use crate::cri::view::{Observer, PodView};
use crate::events::Severity;
use crate::pod::{PodExt, SharedPod};
use crate::probes::PodProbes;
use crate::status::{self, Context};

/// Pauses after failures: first and longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// How often a pod is looked at while its init containers run, which often end sooner than the next listing.
const INITIALIZING: Duration = Duration::from_millis(200);

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
}
