//! One probe of one attempt of a container.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Container, Probe};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::Notify;

use super::{GivenUp, Purpose, Results};
use crate::cri::Runtime;
use crate::events::{Events, Severity};
use crate::pod::SharedPod;
use crate::steps::handler::{self, Outcome};

/// How often a probe looks whether the startup probe has passed.
const WAIT_FOR_STARTUP: Duration = Duration::from_millis(200);

pub(super) struct Task {
    pub runtime: Runtime,
    pub events: Arc<dyn Events>,
    pub wake: Arc<Notify>,
    pub results: Arc<Results>,
    pub pod: SharedPod,
    pub field: String,
    pub has_startup: bool,
    pub container: Container,
    pub id: String,
    pub since: Option<Time>,
    pub purpose: Purpose,
    pub probe: Probe,
    pub ip: Option<String>,
}

impl Task {
    pub(super) async fn run(self) {
        self.initial_delay().await;
        while self.has_startup
            && self.purpose != Purpose::Startup
            && self.results.get(&self.id, Purpose::Startup) != Some(true)
        {
            tokio::time::sleep(WAIT_FOR_STARTUP).await;
        }
        let period = Duration::from_secs(at_least_one(self.probe.period_seconds, 10));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut streak = Streak::default();
        loop {
            ticks.tick().await;
            let outcome = self.check().await;
            let passed = match &outcome {
                Outcome::Success => true,
                Outcome::Failure(message) => {
                    let message = format!("{} probe failed: {message}", self.purpose.name());
                    self.events.pod(&self.pod, Some(&self.field), Severity::Warning, "Unhealthy", message);
                    false
                }
                // The probe could not run; that says nothing, so nothing changes.
                Outcome::Unknown(message) => {
                    tracing::debug!(container = self.container.name, message, "Probe could not run");
                    continue;
                }
            };
            let threshold = if passed {
                at_least_one(self.probe.success_threshold, 1)
            } else {
                at_least_one(self.probe.failure_threshold, 3)
            };
            if streak.add(passed) < threshold {
                continue;
            }
            if self.settle(passed) {
                return;
            }
        }
    }

    /// Takes note of a result; returns whether the probe has done its work.
    fn settle(&self, passed: bool) -> bool {
        let key = (self.id.clone(), self.purpose);
        let changed = self.results.passed.lock().insert(key, passed) != Some(passed);
        let what = match self.purpose {
            Purpose::Readiness => None,
            Purpose::Liveness => Some("liveness probe"),
            Purpose::Startup => Some("startup probe"),
        };
        let mut done = self.purpose == Purpose::Startup && passed;
        if let (Some(what), false) = (what, passed) {
            let grace = self.probe.termination_grace_period_seconds;
            self.results.given_up.lock().insert(self.id.clone(), GivenUp { what, grace });
            done = true;
        }
        if changed || done {
            self.wake.notify_one();
        }
        done
    }

    async fn initial_delay(&self) {
        let delay = i64::from(self.probe.initial_delay_seconds.unwrap_or(0));
        let since = self.since.as_ref().map_or_else(jiff::Timestamp::now, |since| since.0);
        let age = jiff::Timestamp::now().duration_since(since).as_millis();
        let left = i128::from(delay) * 1000 - age;
        if let Ok(left) = u64::try_from(left) {
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }

    async fn check(&self) -> Outcome {
        let limit = Duration::from_secs(at_least_one(self.probe.timeout_seconds, 1));
        let ip = self.ip.as_deref();
        if let Some(exec) = &self.probe.exec {
            handler::exec(&self.runtime, &self.id, exec, limit).await
        } else if let Some(get) = &self.probe.http_get {
            handler::http_get(&self.container, get, ip, limit, "kube-probe").await
        } else if let Some(socket) = &self.probe.tcp_socket {
            handler::tcp(&self.container, socket, ip, limit).await
        } else if let Some(grpc) = &self.probe.grpc {
            handler::grpc(grpc, ip, limit).await
        } else {
            Outcome::Unknown("the probe has no handler".into())
        }
    }
}

/// Equal results in a row.
#[derive(Default)]
struct Streak {
    last: Option<bool>,
    count: u64,
}

impl Streak {
    fn add(&mut self, passed: bool) -> u64 {
        self.count = if self.last == Some(passed) { self.count + 1 } else { 1 };
        self.last = Some(passed);
        self.count
    }
}

fn at_least_one(value: Option<i32>, default: u64) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
}
