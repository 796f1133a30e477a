//! Pods: a kubelet shows its static pods to the API, reports on the pods of its node, and ends them.

use serde::Deserialize;
use serde_json::Value;

use crate::admission::plugins::references::{config_maps, secrets, uses_claims};
use crate::admission::plugins::support::{annotation, fetch, list, refuse, text};
use crate::admission::{Operation, Reader, Request};
use crate::error::Error;

const MIRROR_POD: &str = "kubernetes.io/config.mirror";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeObject {
    pub(super) metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) uid: String,
}

pub(super) async fn pod(request: &Request<'_>, reader: &dyn Reader, node: &str) -> Result<(), Error> {
    match request.operation {
        Operation::Create => {
            let Some(pod) = &request.object else { return Ok(()) };
            mirror(pod, node).map_err(|why| refuse(request, why))?;
            let owned: NodeObject = fetch(reader, ("", "nodes"), "", node)
                .await?
                .ok_or_else(|| refuse(request, format!("node {node:?} not found")))?;
            let uid = text(pod, "/metadata/ownerReferences/0/uid");
            if uid == owned.metadata.uid {
                return Ok(());
            }
            Err(refuse(
                request,
                format!("node {node:?} UID mismatch: expected {} got {uid}", owned.metadata.uid),
            ))
        }
        Operation::Delete => match request.old_object {
            Some(pod) if text(pod, "/spec/nodeName") != node => Err(refuse(
                request,
                format!("node {node:?} can only delete pods with spec.nodeName set to itself"),
            )),
            _ => Ok(()),
        },
        other => {
            let why = format!(
                "unexpected operation {other:?}, node {node:?} can only create and delete mirror pods"
            );
            Err(refuse(request, why))
        }
    }
}

/// A mirror pod is bound to its node and owned by it, and refers to nothing: what a pod refers to, its node
/// may read.
fn mirror(pod: &Value, node: &str) -> Result<(), String> {
    if annotation(pod, MIRROR_POD).is_none() {
        return Err(format!(
            "pod does not have {MIRROR_POD:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if text(pod, "/spec/nodeName") != node {
        return Err(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owner = match list(pod, "/metadata/ownerReferences") {
        [owner] => owner,
        [] => {
            return Err(format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        _ => {
            return Err(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    let itself =
        text(owner, "/apiVersion") == "v1" && text(owner, "/kind") == "Node" && text(owner, "/name") == node;
    if !itself {
        return Err(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return Err(format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if owner["blockOwnerDeletion"] == true {
        return Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let spec = &pod["spec"];
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return Err(format!("node {node:?} can not create pods that reference a service account"));
    }
    let refers = [
        (!secrets(spec).is_empty(), "secrets"),
        (!config_maps(spec).is_empty(), "configmaps"),
        (uses_claims(spec), "persistentvolumeclaims"),
        (!list(pod, "/spec/resourceClaims").is_empty(), "resourceclaims"),
    ];
    match refers.iter().find(|(refers, _)| *refers) {
        Some((_, what)) => Err(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

pub(super) fn status(request: &Request<'_>, node: &str) -> Result<(), String> {
    let (Operation::Update, Some(new), Some(old)) = (request.operation, &request.object, request.old_object)
    else {
        return Err(format!("unexpected operation {:?}", request.operation));
    };
    if text(old, "/spec/nodeName") != node {
        return Err(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    let differs = |pointer: &str| {
        let value = |o: &Value| o.pointer(pointer).filter(|v| !v.is_null()).cloned();
        value(new) != value(old)
    };
    if differs("/metadata/labels") {
        return Err(format!("node {node:?} cannot update labels through pod status"));
    }
    if differs("/status/resourceClaimStatuses") {
        return Err(format!("node {node:?} cannot update resource claim statuses"));
    }
    Ok(())
}

pub(super) async fn eviction(request: &Request<'_>, reader: &dyn Reader, node: &str) -> Result<(), Error> {
    if request.operation != Operation::Create {
        return Err(refuse(request, format!("unexpected operation {:?}", request.operation)));
    }
    let pod: Option<Value> = fetch(reader, ("", "pods"), request.namespace, request.name).await?;
    match pod {
        Some(pod) if text(&pod, "/spec/nodeName") == node => Ok(()),
        Some(_) => Err(refuse(
            request,
            format!("node {node:?} can only evict pods with spec.nodeName set to itself"),
        )),
        None => Err(Error::not_found("", "pods", request.name)),
    }
}
