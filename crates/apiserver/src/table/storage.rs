//! Volumes, claims, classes and drivers.

use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, UNSET, View, at, cells, joined, joined_texts, text};

pub const PRINTERS: &[PrinterRow] = &[
    ("", "persistentvolumes", persistent_volume),
    ("", "persistentvolumeclaims", persistent_volume_claim),
    ("storage.k8s.io", "storageclasses", storage_class),
    ("storage.k8s.io", "volumeattributesclasses", volume_attributes_class),
    ("storage.k8s.io", "volumeattachments", volume_attachment),
    ("storage.k8s.io", "csidrivers", csi_driver),
    ("storage.k8s.io", "csinodes", csi_node),
    ("storagemigration.k8s.io", "storageversionmigrations", migration),
];

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const DEFAULT_ATTRIBUTES_CLASS: [&str; 1] = ["volumeattributesclass.alpha.kubernetes.io/is-default-class"];
const ACCESS_MODES: [(&str, &str); 4] = [
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
];

fn persistent_volume(view: &View<'_>) -> Vec<Value> {
    let claim = match view.get("spec.claimRef") {
        Value::Null => String::new(),
        claim => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
    };
    cells![
        view.name(),
        view.text_or("spec.capacity.storage", "0"),
        access_modes(view.list("spec.accessModes")),
        view.text("spec.persistentVolumeReclaimPolicy"),
        phase(view),
        claim,
        class(view),
        view.text_or("spec.volumeAttributesClassName", UNSET),
        view.text("status.reason"),
        view.age(),
        view.text_or("spec.volumeMode", UNSET),
    ]
}

fn persistent_volume_claim(view: &View<'_>) -> Vec<Value> {
    let volume = view.text("spec.volumeName");
    let (capacity, modes) = match volume {
        "" => ("", String::new()),
        _ => (view.text_or("status.capacity.storage", "0"), access_modes(view.list("status.accessModes"))),
    };
    cells![
        view.name(),
        phase(view),
        volume,
        capacity,
        modes,
        class(view),
        view.text_or("spec.volumeAttributesClassName", UNSET),
        view.age(),
        view.text_or("spec.volumeMode", UNSET),
    ]
}

fn phase<'a>(view: &View<'a>) -> &'a str {
    if view.is_deleted() { "Terminating" } else { view.text("status.phase") }
}

/// The class: the annotation from before there was a field goes first.
fn class<'a>(view: &View<'a>) -> &'a str {
    let annotation = view.get("metadata.annotations").get(CLASS_ANNOTATION).and_then(Value::as_str);
    annotation.unwrap_or_else(|| view.text("spec.storageClassName"))
}

fn access_modes(modes: &[Value]) -> String {
    let known = ACCESS_MODES.iter().filter(|(mode, _)| modes.iter().any(|m| m == mode));
    known.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn storage_class(view: &View<'_>) -> Vec<Value> {
    cells![
        name_of_class(view, &DEFAULT_CLASS),
        view.text("provisioner"),
        view.text_or("reclaimPolicy", "Delete"),
        view.text_or("volumeBindingMode", "Immediate"),
        view.flag("allowVolumeExpansion", false),
        view.age(),
    ]
}

fn volume_attributes_class(view: &View<'_>) -> Vec<Value> {
    cells![name_of_class(view, &DEFAULT_ATTRIBUTES_CLASS), view.text("driverName"), view.age()]
}

/// The name, marked when an annotation makes the class the default one.
fn name_of_class(view: &View<'_>, annotations: &[&str]) -> String {
    let marks = view.get("metadata.annotations");
    let is_default = annotations.iter().any(|annotation| marks[*annotation] == "true");
    if is_default { format!("{} (default)", view.name()) } else { view.name().to_owned() }
}

fn volume_attachment(view: &View<'_>) -> Vec<Value> {
    cells![
        view.name(),
        view.text("spec.attacher"),
        view.text("spec.source.persistentVolumeName"),
        view.text("spec.nodeName"),
        view.flag("status.attached", false),
        view.age(),
    ]
}

fn csi_driver(view: &View<'_>) -> Vec<Value> {
    let tokens = match view.get("spec.tokenRequests") {
        Value::Array(requests) => joined(requests, "audience", ","),
        _ => UNSET.to_owned(),
    };
    let modes = joined_texts(view.list("spec.volumeLifecycleModes"), ",");
    cells![
        view.name(),
        view.flag("spec.attachRequired", true),
        view.flag("spec.podInfoOnMount", false),
        view.flag("spec.storageCapacity", false),
        tokens,
        view.flag("spec.requiresRepublish", false),
        if modes.is_empty() { NONE.to_owned() } else { modes },
        view.age(),
    ]
}

fn csi_node(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), view.count("spec.drivers"), view.age()]
}

fn migration(view: &View<'_>) -> Vec<Value> {
    let resource = view.get("spec.resource");
    let resource = match (text(resource, "group"), text(resource, "resource")) {
        ("", name) => name.to_owned(),
        (group, name) => format!("{name}.{group}"),
    };
    let state = ["Succeeded", "Failed", "Running"].into_iter().find(|state| {
        let conditions = at(view.object, "status.conditions").as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == *state && c["status"] == "True")
    });
    cells![view.name(), resource, state.unwrap_or("Pending")]
}
