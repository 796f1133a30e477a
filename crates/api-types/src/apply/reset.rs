/// The fields that an endpoint of a built-in resource resets, so that nobody comes to own them through it.
///
/// By default the object's own endpoint resets `status` and the status endpoint `spec`; the exceptions are the
/// resources whose strategies keep more. Custom resources follow the rule of their status subresource.
pub fn reset_fields(group: &str, resource: &str, subresource: &str) -> &'static [&'static str] {
    match (group, resource, subresource) {
        ("certificates.k8s.io", "certificatesigningrequests", "") => &["status", "spec"],
        ("certificates.k8s.io", "certificatesigningrequests", "approval") => &["spec", "status.certificate"],
        ("certificates.k8s.io", "certificatesigningrequests", "status") => &["spec", "status.conditions"],
        ("", "pods", "status") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("apps", "deployments", "status") => &["spec", "metadata.labels"],
        ("storage.k8s.io", "volumeattachments", "status")
        | ("apiextensions.k8s.io", "customresourcedefinitions", "status")
        | ("apiregistration.k8s.io", "apiservices", "status")
        | ("flowcontrol.apiserver.k8s.io", _, "status")
        | ("admissionregistration.k8s.io", _, "status")
        | ("internal.apiserver.k8s.io", _, "status") => &["spec", "metadata"],
        (_, _, "") => &["status"],
        (_, _, "status") => &["spec"],
        _ => &[],
    }
}
