//! Volumes, and their mounts into containers.

use serde_json::Value;

use super::container::is_privileged;
use super::{env, source};
use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::check;
use crate::validation::get::{flag, get, items, text};

const ONE_TYPE: &str = "may not specify more than 1 volume type";

/// All sources, in the order in which a second one is found out.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// The valid volumes of a pod, by name.
pub(super) struct Volumes<'v>(Vec<(&'v str, &'v Value)>);

/// Checks all volumes; only valid ones can be mounted.
pub(super) fn validate_all<'v>(errors: &mut ErrorList, path: &Path<'_>, spec: &'v Value) -> Volumes<'v> {
    let mut valid: Vec<(&str, &Value)> = Vec::new();
    for (i, volume) in items(spec, "volumes").iter().enumerate() {
        let path = path.index(i);
        let mut own = ErrorList::new();
        let found = validate_source(&mut own, &path, volume);
        if !found {
            own.required(&path, "must specify a volume type");
        }
        let name = text(volume, "name");
        check::label(&mut own, &path.child("name"), name);
        if valid.iter().any(|(n, _)| *n == name) {
            own.duplicate(&path.child("name"), name);
        }
        if own.is_empty() {
            valid.push((name, volume));
        }
        errors.append(own);
    }
    Volumes(valid)
}

/// Checks a volume's source, the same in pods and (as far as they share types) in persistent volumes. Tells whether
/// there is one.
pub(in crate::validation) fn validate_source(
    errors: &mut ErrorList,
    path: &Path<'_>,
    volume: &Value,
) -> bool {
    let mut found = false;
    for kind in SOURCES {
        let Some(source) = get(volume, kind) else { continue };
        let at = path.child(kind);
        if found {
            errors.forbidden(&at, ONE_TYPE);
            continue;
        }
        found = true;
        source::validate(errors, &at, kind, source);
    }
    found
}

/// A volume that brings its own claim names it after the pod and itself.
pub(super) fn claim_names(errors: &mut ErrorList, path: &Path<'_>, pod: &Value) {
    let owner = text(&pod["metadata"], "name");
    for (i, volume) in items(&pod["spec"], "volumes").iter().enumerate() {
        let name = text(volume, "name");
        if owner.is_empty() || name.is_empty() || get(volume, "ephemeral").is_none() {
            continue;
        }
        let claim = format!("{owner}-{name}");
        for wrong in name::dns1123_subdomain(&claim) {
            errors.invalid(&path.index(i).child("name"), name, format!("PVC name {claim:?}: {wrong}"));
        }
    }
}

pub(super) fn key_to_path(errors: &mut ErrorList, path: &Path<'_>, item: &Value) {
    if text(item, "key").is_empty() {
        errors.required(&path.child("key"), "");
    }
    let file = text(item, "path");
    if file.is_empty() {
        errors.required(&path.child("path"), "");
    }
    check::unreserved_path(errors, &path.child("path"), file);
    check::mode(errors, path, item, "mode");
}

pub(super) fn downward_file(errors: &mut ErrorList, path: &Path<'_>, file: &Value) {
    let target = text(file, "path");
    if target.is_empty() {
        errors.required(&path.child("path"), "");
    }
    check::unreserved_path(errors, &path.child("path"), target);
    match (get(file, "fieldRef"), get(file, "resourceFieldRef")) {
        (Some(field), resource) => {
            env::field_ref(errors, &path.child("fieldRef"), field, &env::VOLUME_FIELDS);
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid(path, "resource", detail);
            }
        }
        (None, Some(resource)) => env::resource_ref(errors, &path.child("resourceFieldRef"), resource, true),
        (None, None) => errors.required(path, "one of fieldRef and resourceFieldRef is required"),
    }
    check::mode(errors, path, file, "mode");
}

impl Volumes<'_> {
    fn find(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, volume)| *volume)
    }

    /// `volumeMounts` of a container.
    pub(super) fn mounts(&self, errors: &mut ErrorList, path: &Path<'_>, container: &Value) {
        let devices = items(container, "volumeDevices");
        let mut points: Vec<&str> = Vec::new();
        for (i, mount) in items(container, "volumeMounts").iter().enumerate() {
            let at = path.index(i);
            let (name, point) = (text(mount, "name"), text(mount, "mountPath"));
            if name.is_empty() {
                errors.required(&at.child("name"), "");
            }
            if self.find(name).is_none() {
                errors.not_found(&at.child("name"), name);
            }
            if point.is_empty() {
                errors.required(&at.child("mountPath"), "");
            }
            if points.contains(&point) {
                errors.invalid(&at.child("mountPath"), point, "must be unique");
            }
            points.push(point);
            if devices.iter().any(|d| text(d, "name") == name) {
                errors.invalid(&at.child("name"), name, "must not already exist in volumeDevices");
            }
            if devices.iter().any(|d| text(d, "devicePath") == point) {
                let detail = "must not already exist as a path in volumeDevices";
                errors.invalid(&at.child("mountPath"), point, detail);
            }
            sub_paths(errors, path, &at, mount);
            propagation(errors, &path.child("mountPropagation"), mount, container);
            recursive_read_only(errors, &path.child("recursiveReadOnly"), mount);
        }
    }

    /// `volumeDevices` of a container.
    pub(super) fn devices(&self, errors: &mut ErrorList, path: &Path<'_>, container: &Value) {
        let mounts = items(container, "volumeMounts");
        let (mut names, mut paths): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for (i, device) in items(container, "volumeDevices").iter().enumerate() {
            let at = path.index(i);
            let (name, device_path) = (text(device, "name"), text(device, "devicePath"));
            if name.is_empty() {
                errors.required(&at.child("name"), "");
            }
            if names.contains(&name) {
                errors.invalid(&at.child("name"), name, "must be unique");
            }
            match self.find(name) {
                None => errors.not_found(&at.child("name"), name),
                Some(v) if get(v, "persistentVolumeClaim").is_none() && get(v, "ephemeral").is_none() => {
                    let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                    errors.invalid(&at.child("name"), name, detail);
                }
                Some(_) => {}
            }
            if device_path.is_empty() {
                errors.required(&at.child("devicePath"), "");
            }
            if paths.contains(&device_path) {
                errors.invalid(&at.child("devicePath"), device_path, "must be unique");
            }
            if device_path.split('/').any(|part| part == "..") {
                errors.invalid(&at.child("devicePath"), device_path, "can not contain backsteps ('..')");
            }
            if mounts.iter().any(|m| text(m, "name") == name) {
                errors.invalid(&at.child("name"), name, "must not already exist in volumeMounts");
            }
            if mounts.iter().any(|m| text(m, "mountPath") == device_path) {
                let detail = "must not already exist as a path in volumeMounts";
                errors.invalid(&at.child("devicePath"), device_path, detail);
            }
            names.push(name);
            paths.push(device_path);
        }
    }
}

fn sub_paths(errors: &mut ErrorList, list: &Path<'_>, path: &Path<'_>, mount: &Value) {
    let (sub, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    if !sub.is_empty() {
        check::descending_path(errors, &list.child("subPath"), sub);
    }
    if !expression.is_empty() {
        if !sub.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(&path.child("subPathExpr"), expression, detail);
        }
        check::descending_path(errors, &list.child("subPathExpr"), expression);
    }
}

fn propagation(errors: &mut ErrorList, path: &Path<'_>, mount: &Value, container: &Value) {
    let mode = text(mount, "mountPropagation");
    check::one_of_if_set(errors, path, mode, &["Bidirectional", "HostToContainer", "None"]);
    if mode == "Bidirectional" && !is_privileged(container) {
        errors.forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(errors: &mut ErrorList, path: &Path<'_>, mount: &Value) {
    let mode = text(mount, "recursiveReadOnly");
    check::one_of_if_set(errors, path, mode, &["Disabled", "IfPossible", "Enabled"]);
    if matches!(mode, "Enabled" | "IfPossible") {
        if !flag(mount, "readOnly") {
            errors.forbidden(path, "may only be specified when readOnly is true");
        }
        if !matches!(text(mount, "mountPropagation"), "" | "None") {
            errors.forbidden(path, "may only be specified when mountPropagation is None or not specified");
        }
    }
}
