//! Which resource has which strategy: a table of traits, and code where traits do not say it all.

mod generic;
mod nodes;
mod pods;
mod table;

use std::sync::Arc;

use api_types::resource::ResourceInfo;

use super::strategy::Strategy;

/// Selectable fields that have a second source or a default: group, resource, label, other path, default.
pub const FIELD_EXTRAS: [(&str, &str, &str, &str, &str); 5] = [
    ("", "events", "source", "reportingComponent", ""),
    ("", "nodes", "spec.unschedulable", "", "false"),
    ("", "pods", "spec.hostNetwork", "", "false"),
    ("batch", "jobs", "status.successful", "", "0"),
    ("", "replicationcontrollers", "status.replicas", "", "0"),
];

/// The strategy of a resource.
pub fn of(info: &ResourceInfo) -> Arc<dyn Strategy> {
    let traits = table::traits(info);
    match (&*info.group, &*info.plural) {
        ("", "pods") => Arc::new(pods::Pods::new(traits)),
        ("", "nodes") => Arc::new(nodes::Nodes::new(traits)),
        _ => Arc::new(generic::Generic::new(info, traits)),
    }
}

/// The fields that the status subresource does not change, and so nobody comes to own through it.
pub fn status_reset_fields(info: &ResourceInfo) -> Vec<&'static str> {
    let traits = table::traits(info);
    let mut fields = vec!["spec"];
    if traits.status_keeps_labels {
        fields.push("metadata.labels");
    }
    if traits.status_keeps_metadata {
        fields.push("metadata");
    }
    if (&*info.group, &*info.plural) == ("", "pods") {
        fields.extend(["metadata.deletionTimestamp", "metadata.ownerReferences"]);
    }
    fields
}
