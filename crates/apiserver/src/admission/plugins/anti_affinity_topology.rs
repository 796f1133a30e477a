//! LimitPodHardAntiAffinityTopology: a pod keeps others off its host at most, not off a whole zone.

use std::sync::Arc;

use async_trait::async_trait;

use super::Dependencies;
use super::support::{list, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const HOST: &str = "kubernetes.io/hostname";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(LimitPodHardAntiAffinityTopology)
}

struct LimitPodHardAntiAffinityTopology;

#[async_trait]
impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let Some(pod) = request.is("", "pods").then_some(request.object.as_ref()).flatten() else {
            return Ok(());
        };
        let terms =
            list(pod, "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution");
        match terms.iter().map(|term| text(term, "/topologyKey")).find(|key| *key != HOST) {
            None => Ok(()),
            Some(key) => Err(refuse(
                request,
                format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOST} is allowed"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create};
    use super::*;

    #[tokio::test]
    async fn only_hosts() {
        let pod = |key: &str| {
            let term = json!([{"topologyKey": key}]);
            json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}})
        };
        for (key, allowed) in [(HOST, true), ("topology.kubernetes.io/zone", false)] {
            let asked = create("", "pods", pod(key));
            let got = asked.put_to(&LimitPodHardAntiAffinityTopology, &World::with(&[])).await;
            assert_eq!(got.is_ok(), allowed, "{key}");
        }
    }
}
