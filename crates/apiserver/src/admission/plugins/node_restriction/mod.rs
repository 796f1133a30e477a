//! NodeRestriction: a kubelet writes its own node, the pods on it, and nothing that would give it more than
//! that.

mod nodes;
mod pods;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use access::authz::Authorizer;
use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const LEASE_NAMESPACE: &str = "kube-node-lease";

pub(super) fn make(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(NodeRestriction {
        authorizer: dependencies.authorizer.clone(),
        api_audiences: dependencies.api_audiences.clone(),
    })
}

struct NodeRestriction {
    authorizer: Arc<Authorizer>,
    api_audiences: Vec<String>,
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let Some(node) = request.user.node_name() else { return Ok(()) };
        if node.is_empty() {
            return Err(refuse(
                request,
                format!("could not determine node from user {:?}", request.user.name),
            ));
        }
        let checked =
            match (request.resource.group.as_ref(), request.resource.plural.as_ref(), request.subresource) {
                ("", "pods", "") => return pods::pod(request, reader, node).await,
                ("", "pods", "status") => pods::status(request, node),
                ("", "pods", "eviction") => return pods::eviction(request, reader, node).await,
                ("", "pods", other) => Err(format!(
                    "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
                )),
                ("", "nodes", _) => nodes::node(request, node),
                ("", "persistentvolumeclaims", "status") => claim_status(request, node),
                ("", "persistentvolumeclaims", _) => Err("may only update PVC status".to_owned()),
                ("", "serviceaccounts", "token") if request.operation == Operation::Create => {
                    return tokens::token(self, request, reader, node).await;
                }
                ("coordination.k8s.io", "leases", _) => lease(request, node),
                ("storage.k8s.io", "csinodes", _) => same_name(
                    request,
                    node,
                    "can only access CSINode with the same name as the requesting node",
                ),
                ("resource.k8s.io", "resourceslices", _) => slice(request, node),
                _ => Ok(()),
            };
        checked.map_err(|why| refuse(request, why))
    }
}

fn lease(request: &Request<'_>, node: &str) -> Result<(), String> {
    if request.namespace != LEASE_NAMESPACE {
        return Err(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
    }
    same_name(request, node, "can only access node lease with the same name as the requesting node")
}

fn same_name(request: &Request<'_>, node: &str, why: &str) -> Result<(), String> {
    let created = request.object.as_ref().filter(|_| request.operation == Operation::Create);
    let name = created.map_or(request.name, |object| text(object, "/metadata/name"));
    if name == node { Ok(()) } else { Err(why.to_owned()) }
}

fn slice(request: &Request<'_>, node: &str) -> Result<(), String> {
    let on = |object: Option<&Value>| object.map_or("", |o| text(o, "/spec/nodeName")) == node;
    let (fine, why) = match request.operation {
        Operation::Create => (
            on(request.object.as_ref()),
            "can only create ResourceSlice with the same NodeName as the requesting node",
        ),
        Operation::Update => (
            on(request.object.as_ref()),
            "can only update ResourceSlice with the same NodeName as the requesting node",
        ),
        _ => (
            on(request.old_object),
            "can only delete ResourceSlice with the same NodeName as the requesting node",
        ),
    };
    if fine { Ok(()) } else { Err(why.to_owned()) }
}

/// A kubelet reports on the size and resizing of a volume, and on nothing else.
fn claim_status(request: &Request<'_>, node: &str) -> Result<(), String> {
    let (Operation::Update, Some(new), Some(old)) = (request.operation, &request.object, request.old_object)
    else {
        return Err(format!("unexpected operation {:?}", request.operation));
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        let reported = ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"];
        let housekeeping = ["resourceVersion", "managedFields"];
        for (part, fields) in [("status", &reported[..]), ("metadata", &housekeeping[..])] {
            if let Some(map) = claim.get_mut(part).and_then(Value::as_object_mut) {
                fields.iter().for_each(|field| drop(map.remove(*field)));
            }
        }
        claim
    };
    if rest(new) == rest(old) {
        return Ok(());
    }
    Err(format!(
        "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
    ))
}
