//! The steps of a pod's life, one file each.
//!
//! ```text
//!  start:  admission → cgroup → directories → volumes → sandbox → (per container) image → config → create → start → postStart
//!  end:    preStop → stop → sandbox → volumes → cgroup → logs
//! ```
//!
//! Contract of every step: it is given what it works on and holds no state of its own; run again after a crash or after
//! having been dropped half way, it finds what it made before and completes it; its error says what was tried. Which step
//! runs when is the business of [`crate::pod_worker`].

pub mod admission;
pub mod cgroup;
pub mod clean_up;
pub mod container;
pub mod container_config;
pub mod directories;
pub mod handler;
pub mod hooks;
pub mod kill;
pub mod sandbox;

use std::sync::Arc;

use crate::api::Objects;
use crate::cri::Runtime;
use crate::events::Events;
use crate::host::Host;
use crate::images::Puller;
use crate::paths::Paths;
use crate::pod::dns;
use crate::volumes::Volumes;

/// Settings that steps read; from the kubelet's configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name resolution of pods.
    pub dns: dns::Settings,
    /// CFS period in microseconds; `None` with cpuCFSQuota off.
    pub cfs_period: Option<u64>,
    /// podPidsLimit, where one is set.
    pub pids_limit: Option<i64>,
    /// seccompDefault.
    pub seccomp_default: bool,
    /// allowedUnsafeSysctls.
    pub unsafe_sysctls: Vec<String>,
    /// maxPods.
    pub max_pods: usize,
}

/// All steps, made once and shared by the pod workers.
pub struct Steps {
    /// Whether the node takes a pod.
    pub admission: admission::Admission,
    /// A pod's cgroup.
    pub cgroup: cgroup::PodCgroup,
    /// Directories of a pod.
    pub directories: directories::Directories,
    /// A pod's volumes.
    pub volumes: Volumes,
    /// A pod's sandbox.
    pub sandbox: sandbox::Sandbox,
    /// A container's start.
    pub container: container::Start,
    /// The end of containers.
    pub kill: kill::Kill,
    /// What is left of an ended pod.
    pub clean_up: clean_up::CleanUp,
}

/// What the steps are made from.
pub struct Parts {
    /// The container runtime.
    pub runtime: Runtime,
    /// Objects that pods refer to.
    pub objects: Arc<dyn Objects>,
    /// Where events go.
    pub events: Arc<dyn Events>,
    /// The node.
    pub host: Arc<Host>,
    /// The cgroup tree; `None` when pods' cgroups are not managed (cgroupsPerQOS off).
    pub cgroups: Option<Arc<crate::cgroups::Cgroups>>,
    /// Directories on the node.
    pub paths: Arc<Paths>,
    /// Image pulls.
    pub puller: Puller,
    /// Configuration.
    pub settings: Settings,
}

impl Steps {
    /// Wires the steps.
    pub fn new(parts: Parts) -> Self {
        let Parts { runtime, objects, events, host, cgroups, paths, puller, settings } = parts;
        let settings = Arc::new(settings);
        let hooks = hooks::Hooks::new(runtime.clone());
        let kill = kill::Kill::new(runtime.clone(), hooks.clone(), events.clone());
        let volumes = Volumes::new(paths.clone(), objects.clone());
        let cgroup = cgroup::PodCgroup::new(cgroups, settings.clone());
        Self {
            admission: admission::Admission::new(host.clone(), settings.clone()),
            directories: directories::Directories::new(paths.clone()),
            sandbox: sandbox::Sandbox {
                runtime: runtime.clone(),
                objects: objects.clone(),
                events: events.clone(),
                host: host.clone(),
                paths: paths.clone(),
                cgroup: cgroup.clone(),
                settings: settings.clone(),
            },
            container: container::Start {
                config: container_config::Builder { objects, host, paths: paths.clone(), settings },
                puller: puller.clone(),
                runtime: runtime.clone(),
                kill: kill.clone(),
                hooks,
                events,
            },
            clean_up: clean_up::CleanUp::new(runtime, volumes.clone(), cgroup.clone(), paths, puller),
            kill,
            volumes,
            cgroup,
        }
    }
}
