//! From a manifest file to a static pod.

use std::path::Path;

use api_types::k8s::api::core::v1::{Pod, Toleration};
use sha2::{Digest, Sha256};

use crate::pod::{CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE};

/// Why a manifest is not a pod. The file's name is added by whoever reports it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not YAML or JSON, or not a pod.
    #[error("is not a pod manifest: {0}")]
    Parse(String),
    /// Another kind of object.
    #[error(
        "has apiVersion {api_version:?} and kind {kind:?}; a static pod manifest has apiVersion v1 and kind Pod"
    )]
    Kind {
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
    },
    /// The pod cannot run as a static pod.
    #[error("{0}")]
    Invalid(String),
}

/// Reads a manifest. The pod's UID is the fingerprint of its text, file and node, so that a changed manifest is another pod.
pub fn parse(path: &Path, text: &str, node: &str, now: jiff::Timestamp) -> Result<Pod, Error> {
    let value: serde_json::Value =
        serde_yaml::from_str(text).map_err(|error| Error::Parse(error.to_string()))?;
    let word = |key: &str| value.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    if (api_version.as_str(), kind.as_str()) != ("v1", "Pod") {
        return Err(Error::Kind { api_version, kind });
    }
    let mut pod: Pod = serde_json::from_value(value).map_err(|error| Error::Parse(error.to_string()))?;
    check(&pod)?;
    let hash = pod
        .metadata
        .uid
        .clone()
        .filter(|uid| !uid.is_empty())
        .unwrap_or_else(|| fingerprint(path, text, node));
    let metadata = &mut pod.metadata;
    metadata.uid = Some(hash.clone());
    metadata.name = metadata.name.take().map(|name| format!("{name}-{}", node.to_lowercase()));
    metadata.namespace =
        metadata.namespace.take().filter(|name| !name.is_empty()).or_else(|| Some("default".into()));
    metadata.generation = None;
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(CONFIG_HASH.into(), hash);
    annotations.insert(CONFIG_SOURCE.into(), "file".into());
    annotations.insert(CONFIG_SEEN.into(), now.to_string());
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node.to_owned());
    // A static pod stays while its file does, whatever taints the node gets.
    let stay = Toleration {
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        ..Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&stay) {
        tolerations.push(stay);
    }
    pod.status = None;
    Ok(pod)
}

fn check(pod: &Pod) -> Result<(), Error> {
    let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
    if pod.metadata.name.as_deref().unwrap_or_default().is_empty() {
        return invalid("has no metadata.name");
    }
    let Some(spec) = &pod.spec else { return invalid("has no spec") };
    if spec.containers.is_empty() {
        return invalid("has no containers in spec.containers");
    }
    if let Some(container) =
        spec.containers.iter().find(|container| container.image.as_deref().unwrap_or_default().is_empty())
    {
        return Err(Error::Invalid(format!("has no image for container {:?}", container.name)));
    }
    if spec.ephemeral_containers.as_ref().is_some_and(|list| !list.is_empty()) {
        return invalid("has spec.ephemeralContainers, which a static pod cannot have");
    }
    if spec.resource_claims.as_ref().is_some_and(|list| !list.is_empty()) {
        return invalid("has spec.resourceClaims, which a static pod cannot have");
    }
    Ok(())
}

fn fingerprint(path: &Path, text: &str, node: &str) -> String {
    let mut digest = Sha256::new();
    for part in [node.as_bytes(), path.as_os_str().as_encoded_bytes(), text.as_bytes()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Pod, Error> {
        parse(Path::new("/m/a.yaml"), text, "Node1", jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_manifest_becomes_a_pod_of_this_node() {
        let text =
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}";
        let pod = read(text).unwrap();
        assert_eq!(pod.metadata.name.as_deref(), Some("web-node1"));
        assert_eq!(pod.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(pod.metadata.uid.as_ref().map(String::len), Some(32));
        assert_ne!(pod.metadata.uid, read(&text.replace("image: i", "image: j")).unwrap().metadata.uid);
        assert_eq!(pod.metadata.uid, read(text).unwrap().metadata.uid);
    }

    #[test]
    fn what_is_not_a_pod_is_refused() {
        assert!(matches!(read("apiVersion: v1\nkind: Service"), Err(Error::Kind { .. })));
        assert!(matches!(read("a: [b"), Err(Error::Parse(_))));
        assert!(matches!(
            read("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}"),
            Err(Error::Invalid(_))
        ));
    }
}
