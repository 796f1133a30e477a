//! The Node authorizer: a kubelet may read what the pods on its node need, and write what is its own.
//!
//! The rules of the ClusterRole `system:node` say what kinds of request a kubelet makes; for the resources
//! below they are narrowed to the objects that have to do with that node, found in a [`graph`]
//! kept from the pods, volumes and claims.

mod graph;
mod refs;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use parking_lot::RwLock;

use self::graph::{Graph, Vertex};
use super::replica::{ObjectKey, Replica};
use super::{Attributes, PolicyRule, SelectorOperator, Verdict};

/// Where node leases live.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// What each node's pods refer to, and the decisions that follow from it.
pub struct NodeGraph {
    rules: Vec<PolicyRule>,
    graph: RwLock<Graph>,
}

impl NodeGraph {
    /// The resources whose changes [`NodeGraph`] wants: (group, plural).
    pub const RESOURCES: [(&str, &str); 4] = [
        ("", "pods"),
        ("", "persistentvolumes"),
        ("storage.k8s.io", "volumeattachments"),
        ("resource.k8s.io", "resourceslices"),
    ];

    /// An empty graph, with the rules of the ClusterRole `system:node`.
    pub fn new(rules: Vec<PolicyRule>) -> Self {
        Self { rules, graph: RwLock::default() }
    }

    /// Decides requests of kubelets; has no opinion on others.
    pub fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        let Some(node) = request.user.node_name() else {
            return Verdict::no_opinion("");
        };
        if node.is_empty() {
            return Verdict::no_opinion(format!("unknown node for user {:?}", request.user.name));
        }
        let narrowed = match (request.resource_request, request.group, request.resource) {
            (false, ..) => None,
            (_, "", "secrets") => Some(self.read_namespaced(node, Vertex::Secret, request)),
            (_, "", "configmaps") => Some(self.read_namespaced(node, Vertex::ConfigMap, request)),
            (_, "", "persistentvolumeclaims") if request.subresource == "status" => {
                Some(self.update_status(node, Vertex::Claim, request))
            }
            (_, "", "persistentvolumeclaims") => Some(self.get(node, Vertex::Claim, request)),
            (_, "", "persistentvolumes") => Some(self.get(node, Vertex::Volume, request)),
            (_, "resource.k8s.io", "resourceclaims") => Some(self.get(node, Vertex::ResourceClaim, request)),
            (_, "storage.k8s.io", "volumeattachments") => Some(self.get(node, Vertex::Attachment, request)),
            (_, "", "serviceaccounts") => Some(self.service_account(node, request)),
            (_, "coordination.k8s.io", "leases") => Some(own_lease(node, request)),
            (_, "storage.k8s.io", "csinodes") => Some(own_csi_node(node, request)),
            (_, "resource.k8s.io", "resourceslices") => Some(self.slice(node, request)),
            (_, "", "nodes") => Some(self.node(node, request)),
            (_, "", "pods") => Some(self.pod(node, request)),
            _ => None,
        };
        narrowed.unwrap_or_else(|| match self.rules.iter().any(|rule| rule.allows(request)) {
            true => Verdict::allow(""),
            false => Verdict::no_opinion(""),
        })
    }

    fn related(&self, node: &str, vertex: Vertex, request: &Attributes<'_>) -> Verdict {
        if request.name.is_empty() {
            return Verdict::no_opinion("No Object name found");
        }
        if self.graph.read().reaches(node, vertex, request.namespace, request.name) {
            return Verdict::allow("");
        }
        Verdict::no_opinion(format!("no relationship found between node '{node}' and this object"))
    }

    fn get(&self, node: &str, vertex: Vertex, request: &Attributes<'_>) -> Verdict {
        if request.verb != "get" || request.name.is_empty() {
            return Verdict::no_opinion("can only get individual resources of this type");
        }
        if !request.subresource.is_empty() {
            return Verdict::no_opinion("cannot get subresource");
        }
        self.related(node, vertex, request)
    }

    fn read_namespaced(&self, node: &str, vertex: Vertex, request: &Attributes<'_>) -> Verdict {
        if !request.read_only() {
            return Verdict::no_opinion("can only read resources of this type");
        }
        if !request.subresource.is_empty() {
            return Verdict::no_opinion("cannot read subresource");
        }
        if request.namespace.is_empty() {
            return Verdict::no_opinion("can only read namespaced object of this type");
        }
        self.related(node, vertex, request)
    }

    fn update_status(&self, node: &str, vertex: Vertex, request: &Attributes<'_>) -> Verdict {
        if !matches!(request.verb, "update" | "patch") {
            return Verdict::no_opinion("can only get/update/patch this type");
        }
        self.related(node, vertex, request)
    }

    fn service_account(&self, node: &str, request: &Attributes<'_>) -> Verdict {
        match (request.verb, request.subresource) {
            ("get", "") => self.get(node, Vertex::ServiceAccount, request),
            ("create", _) if request.name.is_empty() => {
                Verdict::no_opinion("can only create tokens for individual service accounts")
            }
            ("create", "token") => self.related(node, Vertex::ServiceAccount, request),
            ("create", _) => Verdict::no_opinion("can only create token subresource of service account"),
            _ => Verdict::no_opinion("can only create tokens for individual service accounts"),
        }
    }

    fn slice(&self, node: &str, request: &Attributes<'_>) -> Verdict {
        if !request.subresource.is_empty() {
            return Verdict::no_opinion("cannot authorize ResourceSlice subresources");
        }
        match request.verb {
            // What a new slice says of its node is checked by NodeRestriction.
            "create" => Verdict::allow(""),
            "get" | "update" | "patch" | "delete" => self.related(node, Vertex::Slice, request),
            "watch" | "list" | "deletecollection" if selects(request, "spec.nodeName", node) => {
                Verdict::allow("")
            }
            "watch" | "list" | "deletecollection" => Verdict::no_opinion(
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => Verdict::no_opinion(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn node(&self, node: &str, request: &Attributes<'_>) -> Verdict {
        let other = |what: &str| {
            Verdict::no_opinion(format!("node '{node}' cannot read {what}, only its own Node object"))
        };
        match (request.subresource, request.verb) {
            // Which node is written, and what of it, is checked by NodeRestriction.
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Verdict::allow(""),
            ("", "get" | "list" | "watch")
                if request.name == node || selects(request, "metadata.name", node) =>
            {
                Verdict::allow("")
            }
            ("", "get") => other(&format!("'{}'", request.name)),
            ("", "list" | "watch") => other("all nodes"),
            _ => Verdict::no_opinion(""),
        }
    }

    fn pod(&self, node: &str, request: &Attributes<'_>) -> Verdict {
        match (request.subresource, request.verb) {
            ("", "get") => self.related(node, Vertex::Pod, request),
            ("", "list" | "watch") if selects(request, "spec.nodeName", node) => Verdict::allow(""),
            ("", "list" | "watch") => {
                Verdict::no_opinion("can only list/watch pods with spec.nodeName field selector")
            }
            // Which pods, and whether they are static ones, is checked by NodeRestriction.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Verdict::allow("")
            }
            _ => Verdict::no_opinion(""),
        }
    }
}

impl Replica for NodeGraph {
    fn upsert(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        json: &[u8],
    ) -> Result<(), serde_json::Error> {
        let parsed = refs::parse(resource, namespace, name, json);
        let mut graph = self.graph.write();
        graph.remove(resource, namespace, name);
        if let Some(links) = parsed? {
            graph.insert(resource, namespace, name, links);
        }
        Ok(())
    }

    fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.graph.write().remove(resource, namespace, name);
    }

    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>) {
        let mut graph = self.graph.write();
        let gone: Vec<ObjectKey> =
            graph.keys(resource).into_iter().filter(|key| !present.contains(key)).collect();
        for (namespace, name) in gone {
            graph.remove(resource, &namespace, &name);
        }
    }
}

fn own_lease(node: &str, request: &Attributes<'_>) -> Verdict {
    if !matches!(request.verb, "get" | "create" | "update" | "patch" | "delete") {
        return Verdict::no_opinion("can only get, create, update, patch, or delete a node lease");
    }
    if request.namespace != LEASE_NAMESPACE {
        return Verdict::no_opinion(format!(
            "can only access leases in the {LEASE_NAMESPACE:?} system namespace"
        ));
    }
    // The name of a lease being created is in its body; NodeRestriction checks it.
    if request.verb != "create" && request.name != node {
        return Verdict::no_opinion("can only access node lease with the same name as the requesting node");
    }
    Verdict::allow("")
}

fn own_csi_node(node: &str, request: &Attributes<'_>) -> Verdict {
    if !matches!(request.verb, "get" | "create" | "update" | "patch" | "delete") {
        return Verdict::no_opinion("can only get, create, update, patch, or delete a CSINode");
    }
    if !request.subresource.is_empty() {
        return Verdict::no_opinion("cannot authorize CSINode subresources");
    }
    if request.verb != "create" && request.name != node {
        return Verdict::no_opinion("can only access CSINode with the same name as the requesting node");
    }
    Verdict::allow("")
}

/// Whether the request's field selector admits only objects whose `field` is the node's name.
fn selects(request: &Attributes<'_>, field: &str, node: &str) -> bool {
    request.field_selector.iter().any(|r| {
        r.key == field
            && r.operator == SelectorOperator::In
            && matches!(r.values.as_slice(), [one] if one == node)
    })
}
