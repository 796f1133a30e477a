//! Step: the pod's cgroup.

use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;

use super::Settings;
use crate::cgroups::{Cgroups, Error, pod_limits};
use crate::pod::PodExt;
use crate::pod::resources::pod_resources;

/// Makes and removes a pod's cgroup. Idempotent.
#[derive(Clone)]
pub struct PodCgroup {
    cgroups: Option<Arc<Cgroups>>,
    settings: Arc<Settings>,
}

impl PodCgroup {
    /// In this tree; `None` leaves pods where the runtime puts them.
    pub fn new(cgroups: Option<Arc<Cgroups>>, settings: Arc<Settings>) -> Self {
        Self { cgroups, settings }
    }

    /// Makes the cgroup and sets its values.
    pub fn ensure(&self, pod: &Pod) -> Result<(), Error> {
        let Some(cgroups) = &self.cgroups else { return Ok(()) };
        let limits = pod_limits(&pod_resources(pod), self.settings.cfs_period, self.settings.pids_limit);
        cgroups.ensure(&cgroups.pod(pod.qos(), pod.uid()), &limits)
    }

    /// What the runtime is told as the sandbox's parent.
    pub fn parent(&self, pod: &Pod) -> String {
        let cgroups = self.cgroups.as_ref();
        cgroups.map(|cgroups| cgroups.parent(&cgroups.pod(pod.qos(), pod.uid()))).unwrap_or_default()
    }

    /// Removes whatever cgroup the pod has, in any class.
    pub fn remove(&self, uid: &str) -> Result<(), Error> {
        let Some(cgroups) = &self.cgroups else { return Ok(()) };
        let mine = cgroups.existing_pods().into_iter().filter(|(_, found)| found == uid);
        mine.into_iter().try_for_each(|(qos, uid)| cgroups.remove(&cgroups.pod(qos, &uid)))
    }

    /// UIDs of pods that have a cgroup.
    pub fn existing(&self) -> Vec<String> {
        self.cgroups.iter().flat_map(|cgroups| cgroups.existing_pods()).map(|(_, uid)| uid).collect()
    }
}
