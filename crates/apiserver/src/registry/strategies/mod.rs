//! Which resource has which strategy: a table of traits, and code where traits do not say it all.

mod certificates;
mod custom;
mod daemonsets;
mod definitions;
mod disabled;
mod endpoint_slices;
mod expressions;
mod generic;
mod jobs;
mod namespaces;
mod nodes;
mod pods;
mod services;
mod table;
mod volumes;
mod warnings;

use std::sync::Arc;

use api_types::resource::ResourceInfo;

use super::Settings;
use super::strategy::{Base, Strategy};
pub use disabled::drop_fields;
pub use table::traits;

/// Selectable fields that have a second source or a default: group, resource, label, other path, default.
pub const FIELD_EXTRAS: [(&str, &str, &str, &str, &str); 5] = [
    ("", "events", "source", "reportingComponent", ""),
    ("", "nodes", "spec.unschedulable", "", "false"),
    ("", "pods", "spec.hostNetwork", "", "false"),
    ("batch", "jobs", "status.successful", "", "0"),
    ("", "replicationcontrollers", "status.replicas", "", "0"),
];

/// The strategy of a resource.
pub fn of(info: &ResourceInfo, settings: &Settings) -> Arc<dyn Strategy> {
    let base = Base::new(info, table::traits(info));
    if info.is_custom() {
        return Arc::new(custom::Custom::new(base, info.schema.clone()));
    }
    match (&*info.group, &*info.plural) {
        ("", "namespaces") => Arc::new(namespaces::Namespaces::new(base)),
        ("", "nodes") => Arc::new(nodes::Nodes::new(base)),
        ("", "persistentvolumeclaims") => Arc::new(volumes::Claims::new(base)),
        ("", "persistentvolumes") => Arc::new(volumes::Volumes::new(base)),
        ("", "pods") => Arc::new(pods::Pods::new(base, settings.allow_privileged)),
        ("", "services") => Arc::new(services::Services::new(base)),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            Arc::new(definitions::Definitions::new(base))
        }
        ("apps", "daemonsets") => Arc::new(daemonsets::DaemonSets::new(base)),
        ("batch", "jobs") => Arc::new(jobs::Jobs::new(base)),
        ("discovery.k8s.io", "endpointslices") => Arc::new(endpoint_slices::EndpointSlices::new(base)),
        ("certificates.k8s.io", "certificatesigningrequests") => Arc::new(certificates::Requests::new(base)),
        (group, plural) => match expressions::of(group, plural) {
            Some(compile) => Arc::new(expressions::Expressions::new(base, group, plural, compile)),
            None => Arc::new(generic::Generic::new(base, group, plural)),
        },
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
