//! Contents of configMap, secret, downwardAPI and projected volumes.

use std::collections::BTreeMap;

use api_types::k8s::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::atomic::{Entry, Payload};
use super::{Error, kind_of, ownership};
use crate::api::{Objects, TokenKey};
use crate::pod::{PodExt, fields};

/// Files that the volume shows.
pub async fn payload(
    objects: &dyn Objects,
    pod: &Pod,
    volume: &Volume,
    runtime: &fields::Runtime,
) -> Result<Payload, Error> {
    let namespace = pod.namespace();
    if let Some(source) = &volume.config_map {
        let found = config_map(objects, namespace, &source.name, source.optional).await?;
        return select("config", found, source.items.as_deref(), mode(source.default_mode), source.optional);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let found = secret(objects, namespace, name, source.optional).await?;
        return select("secret", found, source.items.as_deref(), mode(source.default_mode), source.optional);
    }
    if let Some(source) = &volume.downward_api {
        return downward(pod, source.items.as_deref(), mode(source.default_mode), runtime);
    }
    let Some(source) = &volume.projected else {
        return Err(Error::Unsupported { volume: volume.name.clone(), kind: kind_of(volume) });
    };
    let mut payload = Payload::new();
    for part in source.sources.iter().flatten() {
        payload.extend(projection(objects, pod, volume, part, mode(source.default_mode), runtime).await?);
    }
    Ok(payload)
}

async fn projection(
    objects: &dyn Objects,
    pod: &Pod,
    volume: &Volume,
    part: &VolumeProjection,
    mode: u32,
    runtime: &fields::Runtime,
) -> Result<Payload, Error> {
    if let Some(source) = &part.config_map {
        let found = config_map(objects, pod.namespace(), &source.name, source.optional).await?;
        return select("config", found, source.items.as_deref(), mode, source.optional);
    }
    if let Some(source) = &part.secret {
        let found = secret(objects, pod.namespace(), &source.name, source.optional).await?;
        return select("secret", found, source.items.as_deref(), mode, source.optional);
    }
    if let Some(source) = &part.downward_api {
        return downward(pod, source.items.as_deref(), mode, runtime);
    }
    if let Some(source) = &part.service_account_token {
        return token(objects, pod, source, mode).await;
    }
    let kind = if part.cluster_trust_bundle.is_some() {
        "projected.clusterTrustBundle"
    } else if part.pod_certificate.is_some() {
        "projected.podCertificate"
    } else {
        "projected with an empty source"
    };
    Err(Error::Unsupported { volume: volume.name.clone(), kind: kind.into() })
}

type Data = BTreeMap<String, Vec<u8>>;

async fn config_map(
    objects: &dyn Objects,
    namespace: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<Data>, Error> {
    let Some(map) = objects.config_map(namespace, name).await? else {
        return absent("configmap", name, optional);
    };
    let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
    Ok(Some(text.chain(binary).collect()))
}

async fn secret(
    objects: &dyn Objects,
    namespace: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<Data>, Error> {
    let Some(secret) = objects.secret(namespace, name).await? else {
        return absent("secret", name, optional);
    };
    Ok(Some(secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect()))
}

fn absent(kind: &'static str, name: &str, optional: Option<bool>) -> Result<Option<Data>, Error> {
    if optional == Some(true) { Ok(None) } else { Err(Error::Missing { kind, name: name.to_owned() }) }
}

/// All keys, or those of `items` under the paths given there.
fn select(
    kind: &'static str,
    data: Option<Data>,
    items: Option<&[KeyToPath]>,
    mode: u32,
    optional: Option<bool>,
) -> Result<Payload, Error> {
    let mut data = data.unwrap_or_default();
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data.into_iter().map(|(key, data)| (key, Entry { data, mode, uid: None })).collect());
    };
    let mut payload = Payload::new();
    for item in items {
        match data.get_mut(&item.key) {
            Some(bytes) => {
                let mode = item.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(mode);
                payload.insert(item.path.clone(), Entry { data: bytes.clone(), mode, uid: None });
            }
            None if optional == Some(true) => {}
            None => return Err(Error::MissingKey { kind, key: item.key.clone() }),
        }
    }
    Ok(payload)
}

fn downward(
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: u32,
    runtime: &fields::Runtime,
) -> Result<Payload, Error> {
    let mut payload = Payload::new();
    for item in items.unwrap_or_default() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => fields::field(pod, &field.field_path, runtime)?,
            (None, Some(resource)) => fields::resource(pod, "", resource, runtime)?,
            (None, None) => continue,
        };
        let mode = item.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default_mode);
        payload.insert(item.path.clone(), Entry { data: text.into_bytes(), mode, uid: None });
    }
    Ok(payload)
}

/// A bound token, readable by the pod's group, by its one user, or by everybody where neither is set (KEP-1205).
async fn token(
    objects: &dyn Objects,
    pod: &Pod,
    source: &ServiceAccountTokenProjection,
    default_mode: u32,
) -> Result<Payload, Error> {
    let account =
        pod.spec().service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    let key = TokenKey {
        namespace: pod.namespace().into(),
        account: account.into(),
        audience: source.audience.clone().unwrap_or_default(),
        seconds: source.expiration_seconds.unwrap_or(3600),
        pod: pod.name().into(),
        uid: pod.uid().into(),
    };
    let token = objects.token(&key).await?;
    let user = single_user(pod);
    let (mode, uid) = match (ownership::fs_group(pod), user) {
        (Some(_), _) => (0o600, None),
        (None, Some(user)) => (0o600, Some(user)),
        (None, None) => (default_mode, None),
    };
    Ok(Payload::from([(source.path.clone(), Entry { data: token.value.into_bytes(), mode, uid })]))
}

/// The user of all containers, if they have the same one.
fn single_user(pod: &Pod) -> Option<u32> {
    let of_pod = pod.spec().security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = crate::pod::containers::all(pod)
        .into_iter()
        .map(|(_, container)| container.security_context.and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first).and_then(|user| u32::try_from(user).ok())
}

fn mode(mode: Option<i32>) -> u32 {
    mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644)
}
