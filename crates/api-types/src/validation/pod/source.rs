//! What each kind of volume source must say.

use serde_json::Value;

use super::container::pull_policy;
use super::projected;
use super::volume::{downward_file, key_to_path};
use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::check;
use crate::validation::get::{entries, flag, get, int, items, quantity, text};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const PARTITION: &str = "must be an integer between 0 and 255";
const REGISTRY: &str = "must be a host:port pair or multiple pairs separated by commas";
const LUN_MAX: i64 = 255;
/// Where a managed and a blob disk of Azure are.
const MANAGED_DISK: &str =
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const BLOB_DISK: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

/// Checks a source of a kind, by its name in JSON.
pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, kind: &str, source: &Value) {
    match kind {
        "emptyDir" if get(source, "sizeLimit").is_some_and(|q| quantity(q).signum() < 0) => {
            let detail = "SizeLimit field must be a valid resource quantity";
            errors.forbidden(&path.child("sizeLimit"), detail);
        }
        "hostPath" => host_path(errors, path, source),
        "gitRepo" => {
            need(errors, path, source, &["repository"]);
            check::descending_path(errors, &path.child("directory"), text(source, "directory"));
        }
        "secret" => {
            need(errors, path, source, &["secretName"]);
            files(errors, path, source);
        }
        "configMap" => {
            need(errors, path, source, &["name"]);
            files(errors, path, source);
        }
        "persistentVolumeClaim" => need(errors, path, source, &["claimName"]),
        "downwardAPI" => {
            check::mode(errors, path, source, "defaultMode");
            for file in items(source, "items") {
                downward_file(errors, path, file);
            }
        }
        "projected" => projected::validate(errors, path, source),
        "csi" => csi(errors, path, source),
        "ephemeral" => ephemeral(errors, path, source),
        "image" => {
            need(errors, path, source, &["reference"]);
            pull_policy(errors, &path.child("pullPolicy"), text(source, "pullPolicy"));
        }
        "azureDisk" => azure_disk(errors, path, source),
        "quobyte" => quobyte(errors, path, source),
        _ => network(errors, path, kind, source),
    }
}

/// Texts that must not be empty.
fn need(errors: &mut ErrorList, path: &Path<'_>, source: &Value, keys: &[&str]) {
    for key in keys.iter().filter(|key| text(source, key).is_empty()) {
        errors.required(&path.child(key), "");
    }
}

/// Sources that are reached over a network or a cloud.
fn network(errors: &mut ErrorList, path: &Path<'_>, kind: &str, source: &Value) {
    match kind {
        "nfs" => {
            need(errors, path, source, &["server", "path"]);
            if !text(source, "path").starts_with('/') {
                errors.invalid(&path.child("path"), text(source, "path"), "must be an absolute path");
            }
        }
        "rbd" => {
            monitors(errors, path, source);
            need(errors, path, source, &["image"]);
        }
        "cephfs" => monitors(errors, path, source),
        "iscsi" => iscsi(errors, path, source),
        "fc" => fibre_channel(errors, path, source),
        "glusterfs" => need(errors, path, source, &["endpoints", "path"]),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let key = if kind == "gcePersistentDisk" { "pdName" } else { "volumeID" };
            need(errors, path, source, &[key]);
            if let Some(partition) = int(source, "partition").filter(|p| !(0..=LUN_MAX).contains(p)) {
                errors.invalid(&path.child("partition"), partition, PARTITION);
            }
        }
        "cinder" => {
            need(errors, path, source, &["volumeID"]);
            if let Some(secret) = get(source, "secretRef") {
                need(errors, &path.child("secretRef"), secret, &["name"]);
            }
        }
        "flocker" => flocker(errors, path, source),
        "azureFile" => need(errors, path, source, &["secretName", "shareName"]),
        "flexVolume" => flex_volume(errors, path, source),
        "vsphereVolume" => need(errors, path, source, &["volumePath"]),
        "photonPersistentDisk" => need(errors, path, source, &["pdID"]),
        "portworxVolume" => need(errors, path, source, &["volumeID"]),
        "scaleIO" => need(errors, path, source, &["gateway", "system", "volumeName"]),
        "storageos" => {
            check::label(errors, &path.child("volumeName"), text(source, "volumeName"));
            let namespace = text(source, "volumeNamespace");
            if !namespace.is_empty() {
                let wrong = name::dns1123_label(namespace);
                errors.invalid_each(&path.child("volumeNamespace"), namespace, wrong);
            }
            if let Some(secret) = get(source, "secretRef") {
                need(errors, &path.child("secretRef"), secret, &["name"]);
            }
        }
        _ => {}
    }
}

fn monitors(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    if items(source, "monitors").is_empty() {
        errors.required(&path.child("monitors"), "");
    }
}

fn host_path(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    let at = path.child("path");
    if text(source, "path").is_empty() {
        return errors.required(&at, "");
    }
    check::no_backsteps(errors, &at, text(source, "path"));
    let kind = text(source, "type");
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, &HOST_PATH_TYPES);
    }
}

fn csi(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    driver_name(errors, &path.child("driver"), text(source, "driver"));
    if let Some(secret) = get(source, "nodePublishSecretRef") {
        check::reference_name(errors, &path.child("nodePublishSecretRef"), secret);
    }
}

/// The name of a CSI driver.
pub(in crate::validation) fn driver_name(errors: &mut ErrorList, path: &Path<'_>, driver: &str) {
    if driver.is_empty() {
        errors.required(path, "");
        return;
    }
    if driver.len() > name::LABEL_MAX {
        errors.too_long(path, name::LABEL_MAX);
    }
    errors.invalid_each(path, driver, name::dns1123_subdomain_ignoring_case(driver));
}

fn ephemeral(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    let path = path.child("volumeClaimTemplate");
    let Some(template) = get(source, "volumeClaimTemplate") else { return errors.required(&path, "") };
    super::embedded_metadata(errors, &path.child("metadata"), &template["metadata"]);
    crate::validation::storage::claim_spec(errors, &path.child("spec"), &template["spec"]);
}

/// Mode and items of a volume made from a Secret or ConfigMap.
fn files(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    check::mode(errors, path, source, "defaultMode");
    let at = path.child("items");
    for (i, item) in items(source, "items").iter().enumerate() {
        key_to_path(errors, &at.index(i), item);
    }
}

/// An initiator or target name in one of the three formats of RFC 3720.
fn iscsi_name(errors: &mut ErrorList, path: &Path<'_>, iqn: &str) {
    let digits = |prefix: &str, count: usize| {
        iqn.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == count && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let valid = match iqn.get(..3) {
        Some("iqn") => is_qualified_iscsi_name(iqn),
        Some("eui") => digits("eui.", 16),
        Some("naa") => digits("naa.", 32),
        _ => return errors.invalid(path, iqn, "must be valid format starting with iqn, eui, or naa"),
    };
    if !valid {
        errors.invalid(path, iqn, "must be valid format");
    }
}

/// `iqn.YYYY-MM.DOMAIN:NAME`
fn is_qualified_iscsi_name(iqn: &str) -> bool {
    let Some((head, tail)) = iqn.strip_prefix("iqn.").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let mut parts = head.splitn(2, '.');
    let (date, domain) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    date.split_once('-').is_some_and(|(year, month)| number(year, 4) && number(month, 2))
        && !domain.is_empty()
        && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        && !tail.is_empty()
        && !tail.contains(|c: char| c.is_whitespace() || ",;*&$|".contains(c))
}

fn iscsi(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    need(errors, path, source, &["targetPortal"]);
    let iqn = text(source, "iqn");
    if iqn.is_empty() {
        errors.required(&path.child("iqn"), "");
    } else {
        iscsi_name(errors, &path.child("iqn"), iqn);
    }
    lun(errors, path, int(source, "lun").unwrap_or(0));
    let authenticated = flag(source, "chapAuthDiscovery") || flag(source, "chapAuthSession");
    match get(source, "secretRef") {
        None if authenticated => errors.required(&path.child("secretRef"), ""),
        Some(secret) if authenticated => need(errors, &path.child("secretRef"), secret, &["name"]),
        _ => {}
    }
    if let Some(initiator) = get(source, "initiatorName").and_then(Value::as_str) {
        iscsi_name(errors, &path.child("initiatorname"), initiator);
    }
}

fn lun(errors: &mut ErrorList, path: &Path<'_>, lun: i64) {
    errors.invalid_each(&path.child("lun"), lun, name::in_range(lun, 0, LUN_MAX));
}

fn fibre_channel(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    let at = path.child("targetWWNs");
    let (targets, ids) = (items(source, "targetWWNs"), items(source, "wwids"));
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => errors.required(&at, "must specify either targetWWNs or wwids, but not both"),
        (false, false) => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            errors.invalid(&at, source["targetWWNs"].clone(), detail);
        }
        (false, true) => match int(source, "lun") {
            None => errors.required(&path.child("lun"), "lun is required if targetWWNs is specified"),
            Some(number) => lun(errors, path, number),
        },
        (true, false) => {}
    }
}

fn flocker(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    let (name, uuid) = (text(source, "datasetName"), text(source, "datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        errors.required(path, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.invalid(path, "resource", detail);
    }
    if name.contains('/') {
        errors.invalid(&path.child("datasetName"), name, "must not contain '/'");
    }
}

fn flex_volume(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    need(errors, path, source, &["driver"]);
    let at = path.child("options");
    for (key, _) in entries(source, "options") {
        let domain = key.split_once('/').map_or(key, |(domain, _)| domain).to_lowercase();
        let is_in = |zone: &str| domain == zone || domain.ends_with(&format!(".{zone}"));
        if is_in("kubernetes.io") || is_in("k8s.io") {
            errors.invalid(&at.key(key), key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn quobyte(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    const TENANT_MAX: usize = 64;
    let registry = text(source, "registry");
    if registry.is_empty() {
        errors.required(&path.child("registry"), REGISTRY);
    } else if text(source, "tenant").len() > TENANT_MAX {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.required(&path.child("tenant"), detail);
    } else if registry.split(',').any(|pair| pair.rsplit_once(':').is_none()) {
        errors.invalid(&path.child("registry"), registry, REGISTRY);
    }
    need(errors, path, source, &["volume"]);
}

fn azure_disk(errors: &mut ErrorList, path: &Path<'_>, source: &Value) {
    need(errors, path, source, &["diskName", "diskURI"]);
    let (caching, kind) = (text(source, "cachingMode"), text(source, "kind"));
    check::one_of_if_set(errors, &path.child("cachingMode"), caching, &["None", "ReadOnly", "ReadWrite"]);
    check::one_of_if_set(errors, &path.child("kind"), kind, &["Dedicated", "Managed", "Shared"]);
    let (uri, at) = (text(source, "diskURI"), path.child("diskURI"));
    if kind == "Managed" && !uri.starts_with("/subscriptions/") {
        errors.not_supported(&at, uri, &[MANAGED_DISK]);
    }
    if !kind.is_empty() && kind != "Managed" && !uri.starts_with("https://") {
        errors.not_supported(&at, uri, &[BLOB_DISK]);
    }
}

/// The fields of a resource reference that a driver's secret has: a name and a namespace.
pub(in crate::validation) fn secret_reference(
    errors: &mut ErrorList,
    path: &Path<'_>,
    secret: Option<&Value>,
) {
    let Some(secret) = secret else { return };
    need(errors, path, secret, &["name", "namespace"]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, source: Value, want: &[&str]) {
        let mut errors = ErrorList::new();
        validate(&mut errors, &Path::new("v"), kind, &source);
        let got: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(got, want, "{kind} {source}");
    }

    #[test]
    fn old_sources_are_checked() {
        check("iscsi", json!({"targetPortal": "a", "iqn": "iqn.2001-04.com.example:disk", "lun": 0}), &[]);
        check(
            "iscsi",
            json!({"targetPortal": "a", "iqn": "iqn.x", "lun": 256}),
            &[
                "v.iqn: Invalid value: \"iqn.x\": must be valid format",
                "v.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            ],
        );
        check(
            "fc",
            json!({}),
            &["v.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"],
        );
        check(
            "flexVolume",
            json!({"driver": "d", "options": {"a.k8s.io/b": "c"}}),
            &[
                "v.options[a.k8s.io/b]: Invalid value: \"a.k8s.io/b\": kubernetes.io and k8s.io namespaces are reserved",
            ],
        );
        check(
            "quobyte",
            json!({"registry": "a", "volume": "v"}),
            &[&format!("v.registry: Invalid value: \"a\": {REGISTRY}")],
        );
    }
}
