//! Startup, readiness and liveness probes of one pod's containers.
//!
//! The pod worker owns a [`PodProbes`]; each probe is a task for one attempt of one container. Results are read by the
//! status and the plan; a change wakes the worker.

mod task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Container, PodStatus, Probe};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::cri::Runtime;
use crate::cri::view::{ContainerView, PodView, State};
use crate::events::Events;
use crate::pod::SharedPod;
use crate::pod::containers::{self, Kind};
use crate::status::Probed;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Whether the container has started; holds back the others.
    Startup,
    /// Whether it takes traffic.
    Readiness,
    /// Whether it must be restarted.
    Liveness,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// A container that a probe has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// `liveness probe` or `startup probe`.
    pub what: &'static str,
    /// The probe's own grace period, seconds.
    pub grace: Option<i64>,
}

/// Results by container identifier. Shared between the worker and the probe tasks.
#[derive(Debug, Default)]
pub struct Results {
    /// Outcome so far; absent while unknown.
    passed: Mutex<HashMap<(String, Purpose), bool>>,
    given_up: Mutex<HashMap<String, GivenUp>>,
    /// Which probes a container has, by name.
    expected: Mutex<HashSet<(String, Purpose)>>,
}

impl Results {
    fn get(&self, id: &str, purpose: Purpose) -> Option<bool> {
        self.passed.lock().get(&(id.to_owned(), purpose)).copied()
    }

    /// Containers that must be ended.
    pub fn given_up(&self) -> HashMap<String, GivenUp> {
        self.given_up.lock().clone()
    }
}

impl Probed for Results {
    fn started(&self, container: &str, id: &str) -> bool {
        let expected = self.expected.lock().contains(&(container.to_owned(), Purpose::Startup));
        !expected || self.get(id, Purpose::Startup) == Some(true)
    }

    fn ready(&self, container: &str, id: &str) -> bool {
        let expected = self.expected.lock().contains(&(container.to_owned(), Purpose::Readiness));
        !expected || self.get(id, Purpose::Readiness) == Some(true)
    }
}

/// The probes of one pod.
pub struct PodProbes {
    runtime: Runtime,
    events: Arc<dyn Events>,
    wake: Arc<Notify>,
    results: Arc<Results>,
    tasks: HashMap<(String, Purpose), AbortOnDropHandle<()>>,
    stopping: bool,
}

impl PodProbes {
    /// No probes yet. `wake` is notified when a result changes.
    pub fn new(runtime: Runtime, events: Arc<dyn Events>, wake: Arc<Notify>) -> Self {
        Self { runtime, events, wake, results: Arc::default(), tasks: HashMap::new(), stopping: false }
    }

    /// The results.
    pub fn results(&self) -> Arc<Results> {
        self.results.clone()
    }

    /// Starts probes of running containers and ends those of others. `old` is the last known status: after a restart
    /// of the kubelet, a container that was ready stays so until its probe says otherwise.
    pub fn sync(&mut self, pod: &SharedPod, view: &PodView, ips: &[String], old: &PodStatus) {
        let running: HashMap<&str, &Arc<ContainerView>> = view
            .containers
            .iter()
            .filter(|container| container.state == State::Running)
            .map(|container| (container.id.as_str(), container))
            .collect();
        self.tasks.retain(|(id, _), _| running.contains_key(id.as_str()));
        self.results.passed.lock().retain(|(id, _), _| running.contains_key(id.as_str()));
        self.results.given_up.lock().retain(|id, _| running.contains_key(id.as_str()));
        for (kind, container) in containers::all(pod) {
            if matches!(kind, Kind::Init | Kind::Ephemeral) {
                continue;
            }
            let probes = [
                (Purpose::Startup, container.startup_probe.as_ref()),
                (Purpose::Readiness, container.readiness_probe.as_ref()),
                (Purpose::Liveness, container.liveness_probe.as_ref()),
            ];
            for (purpose, probe) in probes {
                let Some(probe) = probe else { continue };
                self.results.expected.lock().insert((container.name.clone(), purpose));
                let Some(found) =
                    view.container(&container.name).filter(|found| running.contains_key(found.id.as_str()))
                else {
                    continue;
                };
                let key = (found.id.clone(), purpose);
                if self.tasks.contains_key(&key) || (self.stopping && purpose != Purpose::Readiness) {
                    continue;
                }
                if was(old, &found.id, purpose) {
                    self.results.passed.lock().insert(key.clone(), true);
                }
                let ip = ips.first().map(String::as_str);
                let task =
                    self.task(&Subject { pod, kind, container: &container, found, ip }, purpose, probe);
                self.tasks.insert(key, AbortOnDropHandle::new(tokio::spawn(task.run())));
            }
        }
    }

    /// Ends liveness and startup probes: a pod that is being stopped is not restarted.
    pub fn stop_restarts(&mut self) {
        self.stopping = true;
        self.tasks.retain(|(_, purpose), _| *purpose == Purpose::Readiness);
        self.results.given_up.lock().clear();
    }

    fn task(&self, subject: &Subject<'_>, purpose: Purpose, probe: &Probe) -> task::Task {
        let Subject { pod, kind, container, found, ip } = subject;
        task::Task {
            runtime: self.runtime.clone(),
            events: self.events.clone(),
            wake: self.wake.clone(),
            results: self.results.clone(),
            pod: (*pod).clone(),
            field: crate::steps::container::field_path(*kind, &container.name),
            has_startup: container.startup_probe.is_some(),
            container: (*container).clone(),
            id: found.id.clone(),
            since: found.started_at.clone(),
            purpose,
            probe: probe.clone(),
            ip: ip.map(str::to_owned),
        }
    }
}

/// What a probe looks at.
struct Subject<'a> {
    pod: &'a SharedPod,
    kind: Kind,
    container: &'a Container,
    found: &'a ContainerView,
    ip: Option<&'a str>,
}

/// Whether the old status says that this very attempt had passed.
fn was(old: &PodStatus, id: &str, purpose: Purpose) -> bool {
    let lists = [&old.container_statuses, &old.init_container_statuses];
    let status = lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|status| status.container_id.as_deref().is_some_and(|known| known.ends_with(id)));
    status.is_some_and(|status| match purpose {
        Purpose::Startup => status.started == Some(true),
        Purpose::Readiness => status.ready,
        Purpose::Liveness => true,
    })
}
