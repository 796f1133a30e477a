//! What a pod, volume, attachment or slice refers to, read from its JSON without building the whole object.

use serde::Deserialize;

use super::graph::{Key, Links, Vertex};

/// The links of one object; `None` when it is on no node and leads nowhere.
pub(super) fn parse(
    resource: &str,
    namespace: &str,
    name: &str,
    json: &[u8],
) -> Result<Option<Links>, serde_json::Error> {
    match resource {
        "pods" => Ok(pod(namespace, name, serde_json::from_slice(json)?)),
        "persistentvolumes" => Ok(volume(serde_json::from_slice(json)?)),
        _ => {
            let on: OnNode = serde_json::from_slice(json)?;
            Ok(on.spec.node_name.map(|node| Links { node: Some(node), ..Links::default() }))
        }
    }
}

fn pod(namespace: &str, name: &str, pod: Pod) -> Option<Links> {
    let node = pod.spec.node_name.clone().filter(|n| !n.is_empty())?;
    let mut links = Links { node: Some(node), ..Links::default() };
    // The API's copy of a static pod leads to nothing: else a node could grant itself anything by creating
    // one.
    if pod.metadata.annotations.is_some_and(|a| a.mirror.is_some()) {
        return Some(links);
    }
    let mut add = |vertex, name: String| {
        let key = Key(vertex, namespace.to_owned(), name);
        if !key.2.is_empty() && !links.refers.contains(&key) {
            links.refers.push(key);
        }
    };
    if let Some(account) = pod.spec.service_account_name {
        add(Vertex::ServiceAccount, account);
    }
    pod.spec.image_pull_secrets.into_iter().flatten().for_each(|r| add(Vertex::Secret, r.name));
    let spec = [pod.spec.containers, pod.spec.init_containers, pod.spec.ephemeral_containers];
    for container in spec.into_iter().flatten().flatten() {
        let env = container.env.into_iter().flatten().filter_map(|e| e.value_from);
        for source in env {
            source.secret_key_ref.into_iter().for_each(|r| add(Vertex::Secret, r.name));
            source.config_map_key_ref.into_iter().for_each(|r| add(Vertex::ConfigMap, r.name));
        }
        for source in container.env_from.into_iter().flatten() {
            source.secret_ref.into_iter().for_each(|r| add(Vertex::Secret, r.name));
            source.config_map_ref.into_iter().for_each(|r| add(Vertex::ConfigMap, r.name));
        }
    }
    for volume in pod.spec.volumes.into_iter().flatten() {
        if let Some(claim) = volume.persistent_volume_claim {
            add(Vertex::Claim, claim.claim_name);
        }
        if volume.ephemeral.is_some() {
            add(Vertex::Claim, format!("{name}-{}", volume.name));
        }
        volume.secret.into_iter().for_each(|s| add(Vertex::Secret, s.secret_name));
        volume.config_map.into_iter().for_each(|r| add(Vertex::ConfigMap, r.name));
        volume.azure_file.into_iter().for_each(|s| add(Vertex::Secret, s.secret_name));
        for source in volume.projected.into_iter().flat_map(|p| p.sources.unwrap_or_default()) {
            source.secret.into_iter().for_each(|r| add(Vertex::Secret, r.name));
            source.config_map.into_iter().for_each(|r| add(Vertex::ConfigMap, r.name));
        }
        volume
            .csi
            .and_then(|c| c.node_publish_secret_ref)
            .into_iter()
            .for_each(|r| add(Vertex::Secret, r.name));
        let others = [
            volume.cephfs,
            volume.cinder,
            volume.flex_volume,
            volume.rbd,
            volume.scale_io,
            volume.iscsi,
            volume.storageos,
        ];
        others.into_iter().flatten().filter_map(|s| s.secret_ref).for_each(|r| add(Vertex::Secret, r.name));
    }
    let generated =
        pod.status.resource_claim_statuses.into_iter().flatten().filter_map(|s| s.resource_claim_name);
    let named = pod.spec.resource_claims.into_iter().flatten().filter_map(|c| c.resource_claim_name);
    generated.chain(named).for_each(|claim| add(Vertex::ResourceClaim, claim));
    Some(links)
}

fn volume(volume: PersistentVolume) -> Option<Links> {
    let spec = volume.spec;
    let claim = spec.claim_ref?;
    let mut links = Links { claim: Some((claim.namespace.clone(), claim.name)), ..Links::default() };
    let mut add = |namespace: Option<String>, name: String| {
        let namespace = namespace.filter(|n| !n.is_empty()).unwrap_or_else(|| claim.namespace.clone());
        links.refers.push(Key(Vertex::Secret, namespace, name));
    };
    if let Some(azure) = spec.azure_file {
        add(azure.secret_namespace, azure.secret_name);
    }
    if let Some(csi) = spec.csi {
        // The attach and provision secrets are the controllers' business.
        [csi.node_publish_secret_ref, csi.node_stage_secret_ref, csi.node_expand_secret_ref]
            .into_iter()
            .flatten()
            .for_each(|r| add(r.namespace, r.name));
    }
    [spec.cephfs, spec.cinder, spec.flex_volume, spec.rbd, spec.scale_io, spec.iscsi, spec.storageos]
        .into_iter()
        .flatten()
        .filter_map(|s| s.secret_ref)
        .for_each(|r| add(r.namespace, r.name));
    Some(links)
}

#[derive(Deserialize)]
struct OnNode {
    #[serde(default)]
    spec: OnNodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OnNodeSpec {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
    service_account_name: Option<String>,
    image_pull_secrets: Option<Vec<Named>>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
    resource_claims: Option<Vec<ClaimName>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    resource_claim_statuses: Option<Vec<ClaimName>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimName {
    resource_claim_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    namespace: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    env: Option<Vec<EnvVar>>,
    env_from: Option<Vec<EnvFrom>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EnvVar {
    value_from: Option<ValueFrom>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ValueFrom {
    secret_key_ref: Option<Named>,
    config_map_key_ref: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EnvFrom {
    secret_ref: Option<Named>,
    config_map_ref: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    name: String,
    persistent_volume_claim: Option<ClaimVolume>,
    ephemeral: Option<serde::de::IgnoredAny>,
    secret: Option<SecretName>,
    config_map: Option<Named>,
    projected: Option<Projected>,
    azure_file: Option<SecretName>,
    csi: Option<Csi>,
    cephfs: Option<SecretRef>,
    cinder: Option<SecretRef>,
    flex_volume: Option<SecretRef>,
    rbd: Option<SecretRef>,
    #[serde(rename = "scaleIO")]
    scale_io: Option<SecretRef>,
    iscsi: Option<SecretRef>,
    storageos: Option<SecretRef>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimVolume {
    claim_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SecretName {
    secret_name: String,
    secret_namespace: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SecretRef {
    secret_ref: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Csi {
    node_publish_secret_ref: Option<Named>,
    node_stage_secret_ref: Option<Named>,
    node_expand_secret_ref: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Projected {
    sources: Option<Vec<ProjectedSource>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ProjectedSource {
    secret: Option<Named>,
    config_map: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PersistentVolume {
    spec: VolumeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VolumeSpec {
    claim_ref: Option<ClaimRef>,
    azure_file: Option<SecretName>,
    csi: Option<Csi>,
    cephfs: Option<SecretRef>,
    cinder: Option<SecretRef>,
    flex_volume: Option<SecretRef>,
    rbd: Option<SecretRef>,
    #[serde(rename = "scaleIO")]
    scale_io: Option<SecretRef>,
    iscsi: Option<SecretRef>,
    storageos: Option<SecretRef>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimRef {
    namespace: String,
    name: String,
}
