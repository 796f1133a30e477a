//! The objects that a pod's spec refers to by name.

use serde_json::Value;

use super::support::{containers, list, text};

/// Secrets, each once.
pub(super) fn secrets(spec: &Value) -> Vec<&str> {
    const IN_VOLUME: [&str; 10] = [
        "/secret/secretName",
        "/azureFile/secretName",
        "/cephfs/secretRef/name",
        "/cinder/secretRef/name",
        "/flexVolume/secretRef/name",
        "/rbd/secretRef/name",
        "/scaleIO/secretRef/name",
        "/iscsi/secretRef/name",
        "/storageos/secretRef/name",
        "/csi/nodePublishSecretRef/name",
    ];
    let mut names: Vec<&str> = list(spec, "/imagePullSecrets").iter().map(|r| text(r, "/name")).collect();
    for (_, container) in containers(spec) {
        names.extend(list(container, "/env").iter().filter_map(secret_of_env));
        names.extend(list(container, "/envFrom").iter().map(|s| text(s, "/secretRef/name")));
    }
    for volume in list(spec, "/volumes") {
        names.extend(IN_VOLUME.iter().map(|pointer| text(volume, pointer)));
        names.extend(list(volume, "/projected/sources").iter().map(|s| text(s, "/secret/name")));
    }
    distinct(names)
}

/// ConfigMaps, each once.
pub(super) fn config_maps(spec: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    for (_, container) in containers(spec) {
        names.extend(list(container, "/env").iter().map(|e| text(e, "/valueFrom/configMapKeyRef/name")));
        names.extend(list(container, "/envFrom").iter().map(|s| text(s, "/configMapRef/name")));
    }
    for volume in list(spec, "/volumes") {
        names.push(text(volume, "/configMap/name"));
        names.extend(list(volume, "/projected/sources").iter().map(|s| text(s, "/configMap/name")));
    }
    distinct(names)
}

/// Whether a volume is, or makes, a PersistentVolumeClaim.
pub(super) fn uses_claims(spec: &Value) -> bool {
    list(spec, "/volumes").iter().any(|volume| {
        ["persistentVolumeClaim", "ephemeral"]
            .iter()
            .any(|kind| volume.get(kind).is_some_and(|v| !v.is_null()))
    })
}

/// The secret that an environment variable comes from.
pub(super) fn secret_of_env(variable: &Value) -> Option<&str> {
    Some(text(variable, "/valueFrom/secretKeyRef/name")).filter(|name| !name.is_empty())
}

fn distinct(mut names: Vec<&str>) -> Vec<&str> {
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}
