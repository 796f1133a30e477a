//! CSI drivers and nodes, storage capacities, volume attachments and attribute classes.

use serde_json::Value;

use super::Validator;
use super::check::{self, go_struct, go_struct_text, immutable};
use super::get::{entries, get, has_entries, int, items, text, texts};
use super::pod;
use super::selector::label_selector;
use crate::field::{BadValue, ErrorList, Path};
use crate::name;

/// Rules of `CSIDriver`.
pub static CSI_DRIVER: Validator = Validator {
    name: name::subdomain_rule,
    create: driver,
    update: |new, old| {
        let mut errors = driver(new);
        let (spec, before) = (&new["spec"], &old["spec"]);
        if get(spec, "attachRequired") != get(before, "attachRequired") {
            // The path is upstream's, which names the field so here only.
            let shown = BadValue::maybe(get(spec, "attachRequired"));
            errors.invalid(&SPEC.child("attachedRequired"), shown, check::IMMUTABLE);
        }
        immutable(&mut errors, &SPEC, spec, before, "volumeLifecycleModes");
        errors
    },
};
/// Rules of `CSINode`.
pub static CSI_NODE: Validator = Validator { name: name::subdomain_rule, create: node, update: node_update };
/// Rules of `CSIStorageCapacity`.
pub static CSI_STORAGE_CAPACITY: Validator =
    Validator { name: name::subdomain_rule, create: capacity, update: capacity_update };
/// Rules of `VolumeAttachment`.
pub static VOLUME_ATTACHMENT: Validator =
    Validator { name: name::subdomain_rule, create: attachment, update: attachment_update };
/// Rules of `VolumeAttributesClass`.
pub static VOLUME_ATTRIBUTES_CLASS: Validator = Validator {
    name: name::subdomain_rule,
    create: attributes_class,
    update: |new, old| {
        let mut errors = ErrorList::new();
        immutable(&mut errors, &Path::ROOT, new, old, "driverName");
        immutable(&mut errors, &Path::ROOT, new, old, "parameters");
        errors
    },
};

const SPEC: Path<'static> = Path::new("spec");
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

fn driver(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    for key in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if get(spec, key).is_none() {
            errors.required(&SPEC.child(key), "");
        }
    }
    let policy = text(spec, "fsGroupPolicy");
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    check::one_of_if_set(&mut errors, &SPEC.child("fsGroupPolicy"), policy, &policies);
    let path = SPEC.child("tokenRequests");
    let mut audiences: Vec<&str> = Vec::new();
    for (i, request) in items(spec, "tokenRequests").iter().enumerate() {
        let path = path.index(i);
        let audience = text(request, "audience");
        if audiences.contains(&audience) {
            errors.duplicate(&path.child("audience"), audience);
        } else {
            audiences.push(audience);
        }
        let at = path.child("expirationSeconds");
        match int(request, "expirationSeconds") {
            Some(s) if s < TOKEN_SECONDS_MIN => {
                errors.invalid(&at, s, "may not specify a duration less than 10 minutes");
            }
            Some(s) if s > TOKEN_SECONDS_MAX => {
                errors.invalid(&at, s, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
    let modes = ["Persistent", "Ephemeral"];
    for mode in texts(spec, "volumeLifecycleModes") {
        check::one_of_if_set(&mut errors, &SPEC.child("volumeLifecycleModes"), mode, &modes);
    }
    errors
}

fn node(object: &Value) -> ErrorList {
    const ID_MAX: usize = 256;
    let mut errors = ErrorList::new();
    let path = SPEC.child("drivers");
    let mut names: Vec<&str> = Vec::new();
    for (i, driver) in items(&object["spec"], "drivers").iter().enumerate() {
        let path = path.index(i);
        let (name, id) = (text(driver, "name"), text(driver, "nodeID"));
        pod::validate_driver_name(&mut errors, &path.child("name"), name);
        if id.is_empty() {
            errors.required(&path.child("nodeID"), "");
        } else if id.len() > ID_MAX {
            errors.invalid(&path.child("nodeID"), id, format!("must be {ID_MAX} characters or less"));
        }
        if let Some(count) = get(driver, "allocatable").and_then(|a| int(a, "count")).filter(|c| *c < 0) {
            errors.invalid(&path.child("allocatable.count"), count, check::NOT_NEGATIVE);
        }
        if names.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        names.push(name);
        let mut keys: Vec<&str> = Vec::new();
        for key in texts(driver, "topologyKeys") {
            if key.is_empty() {
                errors.required(&path, "");
            }
            if keys.contains(&key) {
                errors.duplicate(&path, key);
            }
            keys.push(key);
            errors.invalid_each(&path, key, name::qualified_name(key));
        }
    }
    errors
}

/// Drivers come and go, but none changes.
fn node_update(new: &Value, old: &Value) -> ErrorList {
    const FIELDS: [(&str, &str); 4] = [
        ("Name", "name"),
        ("NodeID", "nodeID"),
        ("TopologyKeys", "topologyKeys"),
        ("Allocatable", "allocatable"),
    ];
    let mut errors = node(new);
    for driver in items(&new["spec"], "drivers") {
        let same_name = |d: &&Value| text(d, "name") == text(driver, "name");
        let before = items(&old["spec"], "drivers").iter().find(same_name);
        if before.is_some_and(|before| before != driver) {
            errors.invalid(&SPEC.child("drivers"), go_struct(driver, &FIELDS), check::IMMUTABLE);
        }
    }
    errors
}

fn capacity(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let class = text(object, "storageClassName");
    errors.invalid_each(&Path::new("storageClassName"), class, name::dns1123_subdomain(class));
    label_selector(&mut errors, &Path::new("nodeTopology"), get(object, "nodeTopology"));
    for key in ["capacity", "maximumVolumeSize"] {
        if let Some(amount) = get(object, key).filter(|v| super::get::quantity(v).signum() < 0) {
            errors.invalid(&Path::new(key), amount.clone(), check::NOT_NEGATIVE);
        }
    }
    errors
}

fn capacity_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = capacity(new);
    immutable(&mut errors, &Path::ROOT, new, old, "nodeTopology");
    immutable(&mut errors, &Path::ROOT, new, old, "storageClassName");
    errors
}

fn attachment(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    pod::validate_driver_name(&mut errors, &SPEC.child("attacher"), text(spec, "attacher"));
    let path = SPEC.child("source");
    let source = &spec["source"];
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (get(source, "persistentVolumeName"), get(source, "inlineVolumeSpec")) {
        (None, None) => errors.required(&path, detail),
        (Some(_), Some(_)) => errors.forbidden(&path, detail),
        (Some(name), None) if name == "" => {
            errors
                .required(&path.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
        }
        _ => {}
    }
    let node = text(spec, "nodeName");
    errors.invalid_each(&SPEC.child("nodeName"), node, name::dns1123_subdomain(node));
    errors
}

fn attachment_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = attachment(new);
    if new["spec"] != old["spec"] {
        let spec = &new["spec"];
        let source = go_struct_text(
            &spec["source"],
            &[("PersistentVolumeName", "persistentVolumeName"), ("InlineVolumeSpec", "inlineVolumeSpec")],
        );
        let shown = format!(
            "{{\"Attacher\":{},\"Source\":{source},\"NodeName\":{}}}",
            spec["attacher"], spec["nodeName"]
        );
        errors.invalid(&SPEC, BadValue::Raw(shown), check::IMMUTABLE);
    }
    errors
}

fn attributes_class(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let driver = text(object, "driverName");
    if driver.is_empty() {
        errors.required(&Path::new("driverName"), "");
    } else {
        errors.invalid_each(&Path::new("driverName"), driver, name::qualified_name(&driver.to_lowercase()));
    }
    if !has_entries(object, "parameters") {
        errors.required(&Path::new("parameters"), "must contain at least one key/value pair");
    }
    for (key, _) in entries(object, "parameters").filter(|(k, _)| k.is_empty()) {
        errors.invalid(&Path::new("parameters"), key, "field can not be empty.");
    }
    errors
}
