//! Identical pods share a decision that nothing fits: until something changes, it holds for all of them.
//!
//! A workload that is too large for the cluster brings thousands of equal pods. Each would be tried against every node,
//! and against every victim, to no other end than the first.

use std::sync::Arc;

use api_types::k8s::api::core::v1::Volume;
use client::owner;

use crate::cache::PodInfo;
use crate::framework::Diagnosis;

/// The last decision that nothing fits.
#[derive(Default)]
pub struct Shared {
    last: Option<(Arc<PodInfo>, Diagnosis)>,
}

impl Shared {
    /// Something changed that decisions look at.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Keeps a decision that also found no remedy.
    pub fn keep(&mut self, pod: &Arc<PodInfo>, diagnosis: &Diagnosis) {
        if is_plain(pod) {
            self.last = Some((Arc::clone(pod), diagnosis.clone()));
        }
    }

    /// The decision for a pod, if it was made for an identical one.
    pub fn find(&self, pod: &PodInfo) -> Option<Diagnosis> {
        let (known, diagnosis) = self.last.as_ref()?;
        (is_plain(pod) && alike(known, pod)).then(|| diagnosis.clone())
    }
}

/// Whether nothing but nodes, pods and the pod's own specification matter for it.
fn is_plain(pod: &PodInfo) -> bool {
    let disk = |volume: &Volume| {
        volume.gce_persistent_disk.is_some()
            || volume.aws_elastic_block_store.is_some()
            || volume.rbd.is_some()
            || volume.iscsi.is_some()
    };
    let spec = pod.spec();
    pod.claims.is_empty()
        && spec.resource_claims.as_ref().is_none_or(Vec::is_empty)
        && pod.nominated().is_none()
        && !spec.volumes.iter().flatten().any(disk)
}

/// Whether two plain pods fit the same nodes and may displace the same pods.
fn alike(a: &PodInfo, b: &PodInfo) -> bool {
    let (left, right) = (a.spec(), b.spec());
    a.namespace == b.namespace
        && a.priority == b.priority
        && a.requests.exact == b.requests.exact
        && a.ports == b.ports
        && a.labels() == b.labels()
        && owner::controller_uid(&a.pod.metadata) == owner::controller_uid(&b.pod.metadata)
        && left.scheduler_name == right.scheduler_name
        && left.node_selector == right.node_selector
        && left.affinity == right.affinity
        && left.tolerations == right.tolerations
        && left.topology_spread_constraints == right.topology_spread_constraints
        && left.preemption_policy == right.preemption_policy
        && left.host_network == right.host_network
        && left.host_users == right.host_users
        && rules(a) == rules(b)
}

/// Restart rules of the containers; some need a feature of the node.
fn rules(pod: &PodInfo) -> Vec<&Option<Vec<api_types::k8s::api::core::v1::ContainerRestartRule>>> {
    let spec = pod.spec();
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers.map(|container| &container.restart_policy_rules).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::pod;

    fn small(name: &str, more: &str) -> Arc<PodInfo> {
        pod(&format!(
            "metadata: {{name: {name}, namespace: d, uid: {name}}}
spec: {{volumes: [{{name: token-{name}, emptyDir: {{}}}}], containers: [{{name: c, {more}}}]}}"
        ))
    }

    #[test]
    fn only_identical_pods_share() {
        let mut shared = Shared::default();
        let diagnosis = Diagnosis { all_nodes: 3, ..Diagnosis::default() };
        shared.keep(&small("a", ""), &diagnosis);
        assert_eq!(shared.find(&small("b", "")).map(|found| found.all_nodes), Some(3));
        assert!(shared.find(&small("c", "resources: {requests: {cpu: '1'}}")).is_none());
        shared.forget();
        assert!(shared.find(&small("b", "")).is_none());
    }
}
