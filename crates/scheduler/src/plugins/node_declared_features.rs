//! NodeDeclaredFeatures: pods that need a feature of the kubelet go to nodes that declare it (KEP-5328).

use std::sync::Arc;

use api_types::k8s::api::core::v1::Container;

use super::Build;
use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{
    CycleState, Event, Filter, Plugin, PreFilter, PreFiltered, Rejection, Snapshot, Verdict,
};

/// The plugin.
pub struct NodeDeclaredFeatures {
    enabled: bool,
}

impl NodeDeclaredFeatures {
    /// From the feature gates.
    pub fn new(build: &Build<'_>) -> Self {
        Self { enabled: build.features.enabled("NodeDeclaredFeatures") }
    }
}

/// What the pod needs; not empty.
#[derive(Clone)]
struct Needs(Vec<&'static str>);

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => {
                missing(&needs(pod), node).is_empty()
            }
            Event::Updated { old, new } => needs(old) != needs(new),
            _ => false,
        }
    }
}

impl PreFilter for NodeDeclaredFeatures {
    fn pre_filter(
        &self,
        _: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        let needs = needs(pod);
        if needs.is_empty() || !self.enabled {
            return Ok(PreFiltered::Skip);
        }
        state.put(Needs(needs));
        Ok(PreFiltered::Look)
    }
}

impl Filter for NodeDeclaredFeatures {
    fn filter(&self, _: &Snapshot<'_>, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(Needs(needs)) = state.get() else { return Ok(()) };
        let missing = missing(needs, node);
        if missing.is_empty() {
            return Ok(());
        }
        Err(Rejection::unresolvable(format!(
            "node declared features check failed - unsatisfied requirements: {}",
            missing.join(", ")
        )))
    }
}

fn needs(pod: &PodInfo) -> Vec<&'static str> {
    let spec = pod.spec();
    let restarts_all = |container: &Container| {
        container.restart_policy_rules.iter().flatten().any(|rule| rule.action == "RestartAllContainers")
    };
    let mut needs = Vec::new();
    if spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(restarts_all) {
        needs.push("RestartAllContainersOnContainerExits");
    }
    if spec.host_network == Some(true) && spec.host_users == Some(false) {
        needs.push("UserNamespacesHostNetworkSupport");
    }
    needs
}

fn missing(needs: &[&'static str], node: &NodeInfo) -> Vec<&'static str> {
    let status = node.node.as_ref().and_then(|node| node.status.as_ref());
    let declared = status.and_then(|status| status.declared_features.as_ref());
    let has = |name: &str| declared.is_some_and(|declared| declared.iter().any(|known| known == name));
    needs.iter().filter(|name| !has(name)).copied().collect()
}
