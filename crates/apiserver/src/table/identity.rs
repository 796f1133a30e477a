//! Who may do what, and who is vouched for: bindings, certificate requests, trust bundles.

use api_types::time;
use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, View, cells, labels, text};

pub const PRINTERS: &[PrinterRow] = &[
    ("rbac.authorization.k8s.io", "rolebindings", binding),
    ("rbac.authorization.k8s.io", "clusterrolebindings", binding),
    ("certificates.k8s.io", "certificatesigningrequests", signing_request),
    ("certificates.k8s.io", "clustertrustbundles", trust_bundle),
    ("certificates.k8s.io", "podcertificaterequests", pod_certificate_request),
];

fn binding(view: &View<'_>) -> Vec<Value> {
    let role = view.get("roleRef");
    let subjects = |kind: &str| {
        let subjects = view.list("subjects").iter().filter(|subject| subject["kind"] == kind);
        let names = subjects.map(|subject| match (kind, text(subject, "namespace")) {
            ("ServiceAccount", namespace) => format!("{namespace}/{}", text(subject, "name")),
            _ => text(subject, "name").to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    cells![
        view.name(),
        format!("{}/{}", text(role, "kind"), text(role, "name")),
        view.age(),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn signing_request(view: &View<'_>) -> Vec<Value> {
    let duration = view.get("spec.expirationSeconds").as_i64();
    cells![
        view.name(),
        view.age(),
        view.text_or("spec.signerName", NONE),
        view.text("spec.username"),
        duration.map_or_else(|| NONE.to_owned(), time::human_duration),
        signing_state(view),
    ]
}

fn signing_state(view: &View<'_>) -> String {
    let is = |type_: &str| view.list("status.conditions").iter().any(|condition| condition["type"] == type_);
    let decision = match () {
        () if is("Denied") => "Denied",
        () if is("Approved") => "Approved",
        () => "Pending",
    };
    let failed = if is("Failed") { ",Failed" } else { "" };
    let issued = if view.text("status.certificate").is_empty() { "" } else { ",Issued" };
    format!("{decision}{failed}{issued}")
}

fn trust_bundle(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.text_or("spec.signerName", NONE)]
}

fn pod_certificate_request(view: &View<'_>) -> Vec<Value> {
    let is = |type_: &str| view.list("status.conditions").iter().any(|condition| condition["type"] == type_);
    let state = ["Denied", "Failed", "Issued"].into_iter().find(|state| is(state)).unwrap_or("Pending");
    cells![
        view.name(),
        view.text("spec.podName"),
        view.text("spec.serviceAccountName"),
        view.text("spec.nodeName"),
        view.text("spec.signerName"),
        state,
        labels(view.get("spec.unverifiedUserAnnotations")),
    ]
}
