//! ServiceAccount: every pod runs as a service account and, unless it declines, with a token for the API.

use std::sync::Arc;

use async_trait::async_trait;
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Dependencies;
use super::references::{secret_of_env, secrets};
use super::support::{annotation, containers, fetch, list, list_at, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const DEFAULT_ACCOUNT: &str = "default";
const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
const TOKEN_MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An odd number that tells tokens of this origin apart; their life is extended (KEP-1205).
const TOKEN_SECONDS: i64 = 3607;
const MIRROR_POD: &str = "kubernetes.io/config.mirror";
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";
/// The alphabet of generated names: no vowels and nothing that looks like one, so that no words come up.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(ServiceAccount)
}

struct ServiceAccount;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Account {
    metadata: Metadata,
    automount_service_account_token: Option<bool>,
    image_pull_secrets: Option<Vec<Value>>,
    secrets: Option<Vec<Named>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    annotations: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[async_trait]
impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is("", "pods") || request.operation != Operation::Create {
            return Ok(());
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        if annotation(pod, MIRROR_POD).is_some() {
            return Ok(());
        }
        if text(pod, "/spec/serviceAccountName").is_empty() {
            pod["spec"]["serviceAccountName"] = DEFAULT_ACCOUNT.into();
            pod["spec"]["serviceAccount"] = DEFAULT_ACCOUNT.into();
        }
        let account = account(request, reader).await?;
        let Some(pod) = &mut request.object else { return Ok(()) };
        let own = pod.pointer("/spec/automountServiceAccountToken").and_then(Value::as_bool);
        if own.or(account.automount_service_account_token).unwrap_or(true) {
            mount_token(&mut pod["spec"]);
        }
        if list(pod, "/spec/imagePullSecrets").is_empty()
            && let Some(secrets) = account.image_pull_secrets.filter(|s| !s.is_empty())
        {
            pod["spec"]["imagePullSecrets"] = secrets.into();
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let ephemeral = request.is_any("", "pods") && request.subresource == "ephemeralcontainers";
        let created = request.is("", "pods") && request.operation == Operation::Create;
        let Some(pod) = request.object.as_ref().filter(|_| ephemeral || created) else { return Ok(()) };
        if annotation(pod, MIRROR_POD).is_some() {
            return check_mirror_pod(pod).map_err(|why| refuse(request, why));
        }
        let account = account(request, reader).await?;
        let enforced = account.metadata.annotations.as_ref().and_then(|a| a.get(ENFORCE_SECRETS)?.as_str());
        if enforced.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")) {
            check_secrets(pod, &account).map_err(|why| refuse(request, why))?;
        }
        Ok(())
    }
}

async fn account(request: &Request<'_>, reader: &dyn Reader) -> Result<Account, Error> {
    let name = request.object.as_ref().map(|pod| text(pod, "/spec/serviceAccountName")).unwrap_or_default();
    let namespace = request.namespace;
    fetch(reader, ("", "serviceaccounts"), namespace, name).await?.ok_or_else(|| {
        refuse(
            request,
            format!(
                "error looking up service account {namespace}/{name}: serviceaccount {} not found",
                api_types::field::quote(name)
            ),
        )
    })
}

/// Mounts a token volume into every container that has nothing at its place, and adds the volume if one uses
/// it.
fn mount_token(spec: &mut Value) {
    let names = list(spec, "/volumes").iter().map(|v| text(v, "/name"));
    let present = names.into_iter().find(|n| n.starts_with(TOKEN_VOLUME_PREFIX)).map(str::to_owned);
    let has_volume = present.is_some();
    let name = present.unwrap_or_else(|| format!("{TOKEN_VOLUME_PREFIX}{}", suffix()));
    let mut used = false;
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let taken = |m: &Value| m["mountPath"] == TOKEN_MOUNT_PATH;
            if list(container, "/volumeMounts").iter().any(taken) {
                continue;
            }
            if let Some(mounts) = list_at(container, "volumeMounts") {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_MOUNT_PATH}));
                used = true;
            }
        }
    }
    if used
        && !has_volume
        && let Some(volumes) = list_at(spec, "volumes")
    {
        volumes.push(token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

fn suffix() -> String {
    let mut random = rand::rng();
    (0..5).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// A mirror pod is the image of a static pod, which the API gave nothing to.
fn check_mirror_pod(pod: &Value) -> Result<(), &'static str> {
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    if !secrets(&pod["spec"]).is_empty() {
        return Err("a mirror pod may not reference secrets");
    }
    let mut sources = list(pod, "/spec/volumes").iter().flat_map(|v| list(v, "/projected/sources"));
    if sources.any(|source| source.get("serviceAccountToken").is_some_and(|t| !t.is_null())) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// With the annotation, a pod may use only the secrets that its account lists.
fn check_secrets(pod: &Value, account: &Account) -> Result<(), String> {
    let name = &account.metadata.name;
    let listed = |secret: &str| account.secrets.iter().flatten().any(|s| s.name == secret);
    for volume in list(pod, "/spec/volumes") {
        let secret = text(volume, "/secret/secretName");
        if !secret.is_empty() && !listed(secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
            ));
        }
    }
    for (field, container) in containers(&pod["spec"]) {
        let kind = match field {
            "initContainers" => "init container",
            "ephemeralContainers" => "ephemeral container",
            _ => "container",
        };
        for variable in list(container, "/env") {
            if let Some(secret) = secret_of_env(variable).filter(|s| !listed(s)) {
                return Err(format!(
                    "{kind} {} with envVar {} referencing secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret",
                    text(container, "/name"),
                    text(variable, "/name")
                ));
            }
        }
        for source in list(container, "/envFrom") {
            let secret = text(source, "/secretRef/name");
            if !secret.is_empty() && !listed(secret) {
                return Err(format!(
                    "{kind} {} with envFrom referencing secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret",
                    text(container, "/name")
                ));
            }
        }
    }
    let pullable =
        |secret: &str| account.image_pull_secrets.iter().flatten().any(|s| text(s, "/name") == secret);
    for reference in list(pod, "/spec/imagePullSecrets") {
        let secret = text(reference, "/name");
        if !pullable(secret) {
            return Err(format!(
                "imagePullSecret \"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, create};
    use super::*;

    fn world() -> Arc<World> {
        World::with(&[
            ("/serviceaccounts/ns/default", json!({"metadata": {"name": "default"}})),
            (
                "/serviceaccounts/ns/quiet",
                json!({"metadata": {"name": "quiet"}, "automountServiceAccountToken": false, "imagePullSecrets": [{"name": "reg"}]}),
            ),
            (
                "/serviceaccounts/ns/strict",
                json!({"metadata": {"name": "strict", "annotations": {ENFORCE_SECRETS: "true"}}, "secrets": [{"name": "ok"}]}),
            ),
        ])
    }

    #[tokio::test]
    async fn pods_get_an_account_and_a_token() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": TOKEN_MOUNT_PATH}]}], "initContainers": [{"name": "i"}]}});
        let answer = create("", "pods", pod).put_to(&ServiceAccount, &world()).await.unwrap().object;
        assert_eq!(text(&answer, "/spec/serviceAccountName"), "default");
        assert_eq!(text(&answer, "/spec/serviceAccount"), "default");
        let volume = text(&answer, "/spec/volumes/0/name");
        assert!(volume.starts_with(TOKEN_VOLUME_PREFIX) && volume.len() == TOKEN_VOLUME_PREFIX.len() + 5);
        let mount = json!([{"name": volume, "readOnly": true, "mountPath": TOKEN_MOUNT_PATH}]);
        assert_eq!(answer["spec"]["containers"][0]["volumeMounts"], mount);
        assert_eq!(answer["spec"]["initContainers"][0]["volumeMounts"], mount);
        assert_eq!(answer["spec"]["containers"][1]["volumeMounts"][0]["name"], "own");
    }

    #[tokio::test]
    async fn accounts_decide_where_pods_do_not() {
        let pod = |extra: Value| {
            let mut pod = json!({"spec": {"containers": [{"name": "a"}], "serviceAccountName": "quiet"}});
            pod["spec"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            pod
        };
        for (extra, volumes, pull) in [
            (json!({}), 0, "reg"),
            (json!({"automountServiceAccountToken": true}), 1, "reg"),
            (json!({"imagePullSecrets": [{"name": "own"}]}), 0, "own"),
        ] {
            let answer =
                create("", "pods", pod(extra)).put_to(&ServiceAccount, &world()).await.unwrap().object;
            assert_eq!(list(&answer, "/spec/volumes").len(), volumes);
            assert_eq!(answer["spec"]["imagePullSecrets"], json!([{"name": pull}]));
        }
    }

    #[tokio::test]
    async fn refusals() {
        let cases = [
            (
                json!({"spec": {"serviceAccountName": "ghost"}}),
                "error looking up service account ns/ghost: serviceaccount \"ghost\" not found",
            ),
            (
                json!({"metadata": {"annotations": {MIRROR_POD: "x"}}, "spec": {"serviceAccountName": "default"}}),
                "a mirror pod may not reference service accounts",
            ),
            (
                json!({"metadata": {"annotations": {MIRROR_POD: "x"}}, "spec": {"volumes": [{"secret": {"secretName": "s"}}]}}),
                "a mirror pod may not reference secrets",
            ),
            (
                json!({"spec": {"serviceAccountName": "strict", "volumes": [{"secret": {"secretName": "no"}}]}}),
                "volume with secret.secretName=\"no\" is not allowed because service account strict does not reference that secret",
            ),
            (
                json!({"spec": {"serviceAccountName": "strict", "containers": [{"name": "main", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no"}}}]}]}}),
                "container main with envVar A referencing secret.secretName=\"no\" is not allowed because service account strict does not reference that secret",
            ),
        ];
        for (pod, why) in cases {
            let refused = create("", "pods", pod).put_to(&ServiceAccount, &world()).await.map(drop);
            assert_eq!(refused, Err(format!("pods \"x\" is forbidden: {why}")));
        }
    }
}
