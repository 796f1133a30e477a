//! What passes in spite of a hook that cannot be reached.
//!
//! Upstream lets a catch-all hook with `failurePolicy: Fail` whose server is gone stop the very writes that would bring
//! it back. Here a failed call (never a refusal) does not stop
//!
//! - the heartbeats of nodes and the leader elections of the control plane,
//! - the Node objects that kubelets and controllers keep,
//! - what the hook's own service needs to come back: its pods, their controllers, its endpoints, in its namespace.

use api_types::selector::Selector;
use serde_json::Value;

use super::hook::Hook;
use crate::admission::{Reader, Request};
use crate::outbound::Destination;

/// Why the request passes although the hook could not be asked; `None`: it does not.
pub async fn spared(hook: &Hook, request: &Request<'_>, reader: &dyn Reader) -> Option<&'static str> {
    if is_vital(request) {
        return Some("the request keeps the control plane or a node alive");
    }
    let Some(Destination::Service { namespace, name, .. }) = &hook.destination else { return None };
    if namespace != request.namespace {
        return None;
    }
    let own = match (&*request.resource.group, &*request.resource.plural) {
        ("", "services" | "endpoints") => request.name == name,
        ("discovery.k8s.io", "endpointslices") => {
            object(request)?["metadata"]["labels"]["kubernetes.io/service-name"] == name.as_str()
        }
        _ => serves(namespace, name, request, reader).await?,
    };
    own.then_some("the request concerns the webhook's own service")
}

/// Leases and Node objects, written by nodes and by the control plane itself.
fn is_vital(request: &Request<'_>) -> bool {
    let user = request.user;
    let is_control_plane = user.in_group(access::names::NODES)
        || matches!(
            &*user.name,
            "system:kube-controller-manager" | "system:kube-scheduler" | "system:apiserver"
        )
        || user.service_account().is_some_and(|(namespace, _)| namespace == "kube-system");
    let is_vital = match (&*request.resource.group, &*request.resource.plural) {
        ("coordination.k8s.io", "leases") => matches!(request.namespace, "kube-system" | "kube-node-lease"),
        ("", "nodes") => matches!(request.subresource, "" | "status"),
        _ => false,
    };
    is_control_plane && is_vital
}

/// Whether the object is, or makes, a pod behind the service.
async fn serves(namespace: &str, name: &str, request: &Request<'_>, reader: &dyn Reader) -> Option<bool> {
    let labels = match (&*request.resource.group, &*request.resource.plural) {
        ("", "pods") if matches!(request.subresource, "" | "status") => {
            object(request)?["metadata"]["labels"].clone()
        }
        ("", "pods") => stored(reader, "pods", namespace, request.name).await?["metadata"]["labels"].clone(),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("", "replicationcontrollers") => {
            request.object.as_ref().or(request.old_object)?["spec"]["template"]["metadata"]["labels"].clone()
        }
        _ => return None,
    };
    let service = stored(reader, "services", namespace, name).await?;
    let pairs = service["spec"]["selector"].as_object()?.iter();
    let pairs = pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    let selector = Selector::from_map(pairs);
    Some(!selector.is_everything() && selector.matches(&labels))
}

fn object<'a>(request: &'a Request<'_>) -> Option<&'a Value> {
    request.object.as_ref().or(request.old_object)
}

async fn stored(reader: &dyn Reader, resource: &str, namespace: &str, name: &str) -> Option<Value> {
    match reader.get("", resource, namespace, name, false).await {
        Ok(found) => serde_json::from_slice(&found?).ok(),
        Err(error) => {
            tracing::warn!(%error, resource, namespace, name, "looking for what a failing webhook needs");
            None
        }
    }
}
