//! The traits of built-in resources.

use api_types::resource::ResourceInfo;

use crate::registry::strategy::{Dependents, Generation, Traits};

/// The traits of a resource; custom resources have those of objects with a spec, or of plain content.
pub fn traits(info: &ResourceInfo) -> Traits {
    let (group, plural) = (&*info.group, &*info.plural);
    if info.is_custom() {
        return Traits {
            generation: match info.subresource("status") {
                Some(_) => Generation::Content,
                None => Generation::ContentAndStatus,
            },
            unconditional_update: false,
            status_keeps_metadata: true,
            ..Traits::DEFAULT
        };
    }
    Traits {
        generation: generation(group, plural),
        create_on_update: creates_on_update(group, plural),
        unconditional_update: !insists_on_version(group, plural),
        dependents: dependents(group, plural),
        returns_deleted: returns_deleted(group, plural),
        status_keeps_labels: (group, plural) == ("apps", "deployments"),
        status_keeps_metadata: status_keeps_metadata(group, plural),
    }
}

fn generation(group: &str, plural: &str) -> Generation {
    match (group, plural) {
        ("apps", "deployments") => Generation::SpecAndAnnotations,
        ("apps", "daemonsets" | "replicasets" | "statefulsets")
        | ("batch", "cronjobs" | "jobs")
        | ("", "pods" | "replicationcontrollers")
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("apiextensions.k8s.io", _)
        | ("networking.k8s.io", "ingresses" | "ingressclasses" | "networkpolicies")
        | ("policy", "poddisruptionbudgets")
        | ("resource.k8s.io", "deviceclasses" | "resourceslices") => Generation::Spec,
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies"
            | "validatingadmissionpolicybindings"
            | "mutatingadmissionpolicies"
            | "mutatingadmissionpolicybindings",
        ) => Generation::Spec,
        ("admissionregistration.k8s.io", _) => Generation::Content,
        ("discovery.k8s.io", "endpointslices") => Generation::ContentAndLabels,
        ("storage.k8s.io", "csidrivers") => Generation::SpecChanges,
        ("", "podtemplates") => Generation::Content,
        ("scheduling.k8s.io", "priorityclasses") => Generation::Constant,
        _ => Generation::None,
    }
}

fn creates_on_update(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        ("", "endpoints" | "events" | "limitranges" | "services")
            | ("events.k8s.io", "events")
            | ("coordination.k8s.io", "leases")
            | ("node.k8s.io", "runtimeclasses")
            | ("rbac.authorization.k8s.io", _)
    )
}

fn status_keeps_metadata(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        ("flowcontrol.apiserver.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io", _)
            | ("admissionregistration.k8s.io", "validatingadmissionpolicies")
            | ("networking.k8s.io", "servicecidrs")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments")
    )
}

fn insists_on_version(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        ("admissionregistration.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io", _)
            | ("coordination.k8s.io", "leases")
            | ("node.k8s.io", "runtimeclasses")
            | ("policy", "poddisruptionbudgets")
            | ("storage.k8s.io", "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments")
    )
}

fn dependents(group: &str, plural: &str) -> Dependents {
    match (group, plural) {
        ("", "events") | ("events.k8s.io", _) => Dependents::Unsupported,
        ("", "replicationcontrollers") | ("batch", "jobs") => Dependents::Orphan,
        _ => Dependents::Background,
    }
}

fn returns_deleted(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        (
            "",
            "persistentvolumeclaims"
                | "persistentvolumes"
                | "pods"
                | "podtemplates"
                | "resourcequotas"
                | "serviceaccounts"
                | "services"
        ) | ("resource.k8s.io" | "apiextensions.k8s.io", _)
            | (
                "storage.k8s.io",
                "csidrivers"
                    | "csinodes"
                    | "storageclasses"
                    | "volumeattachments"
                    | "volumeattributesclasses"
            )
    )
}
