//! ExtendedResourceToleration: a pod that asks for an extended resource tolerates the taint of the same name.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::Dependencies;
use super::support::{containers, list, list_at, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(ExtendedResourceToleration)
}

struct ExtendedResourceToleration;

#[async_trait]
impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let Some(pod) = request.is("", "pods").then_some(request.object.as_mut()).flatten() else {
            return Ok(());
        };
        let spec = &mut pod["spec"];
        let mut resources: Vec<String> = containers(spec)
            .filter(|(field, _)| *field != "ephemeralContainers")
            .filter_map(|(_, container)| container.pointer("/resources/requests")?.as_object())
            .flat_map(|requests| requests.keys())
            .filter(|name| is_extended(name))
            .cloned()
            .collect();
        resources.sort_unstable();
        resources.dedup();
        for resource in resources {
            let tolerated = list(spec, "/tolerations").iter().any(|t| {
                text(t, "/key") == resource
                    && text(t, "/operator") == "Exists"
                    && matches!(text(t, "/effect"), "" | "NoSchedule")
            });
            if !tolerated && let Some(tolerations) = list_at(spec, "tolerations") {
                tolerations.push(json!({"key": resource, "operator": "Exists", "effect": "NoSchedule"}));
            }
        }
        Ok(())
    }
}

/// Whether a resource belongs to a domain other than the project's own.
fn is_extended(name: &str) -> bool {
    let own = |domain: &str| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    name.split_once('/').is_some_and(|(domain, _)| !own(domain) && !domain.starts_with("requests."))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, create};
    use super::*;

    #[tokio::test]
    async fn tolerations_follow_requests() {
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "example.com/gpu": "1"}}}]}});
        let answer = create("", "pods", pod)
            .put_to(&ExtendedResourceToleration, &World::with(&[]))
            .await
            .unwrap()
            .object;
        let expected = json!([{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]);
        assert_eq!(answer["spec"]["tolerations"], expected);
    }
}
