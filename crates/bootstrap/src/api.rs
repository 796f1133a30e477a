//! What `bootstrap` asks of the apiserver.

use std::path::Path;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Attempt, Failure, Result, chain};
use crate::progress;

/// Connects with the credentials of a kubeconfig file.
pub async fn connect(kubeconfig: &Path) -> Result<Client> {
    let attempted = || format!("use the kubeconfig {}", kubeconfig.display());
    let parsed = Kubeconfig::read_from(kubeconfig).attempt(attempted)?;
    let mut config =
        Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.attempt(attempted)?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).attempt(attempted)
}

/// Connects without proof of who either side is; only for reading the public, signed `cluster-info`.
pub fn connect_unverified(server: &str) -> Result<Client> {
    let attempted = || format!("connect to {server}");
    let mut config = Config::new(server.parse().attempt(attempted)?);
    config.accept_invalid_certs = true;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).attempt(attempted)
}

/// Waits until the apiserver says that it is ready.
pub async fn wait_ready(client: &Client, server: &str, limit: Duration) -> Result<()> {
    let what = format!("{server}/readyz to answer ok");
    let probe = || async {
        let request =
            http::Request::get("/readyz?verbose").body(Vec::new()).map_err(|error| error.to_string())?;
        let answer = client.request_text(request).await;
        answer.map(drop).map_err(|error| chain(&error))
    };
    progress::wait_for(&what, limit, Duration::from_millis(200), probe).await
}

/// Creates every object of a YAML text, or merges it into the one that exists.
pub async fn apply_all(client: &Client, yaml: &str) -> Result<()> {
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let value = Value::deserialize(document).attempt(|| "parse an add-on's YAML")?;
        if !value.is_null() {
            apply(client, value).await?;
        }
    }
    Ok(())
}

/// Creates an object, or merges it into the one that exists. What may pass by itself right after the start of an
/// apiserver (no connection, roles not there yet, overload) is waited out.
pub async fn apply(client: &Client, object: Value) -> Result<()> {
    let name = format!("{} {}", object["kind"].as_str().unwrap_or("object"), object["metadata"]["name"]);
    let probe = || async {
        match apply_once(client, object.clone()).await {
            Ok(()) => Ok(None),
            Err(kube::Error::Api(status)) if is_final(status.code) => Ok(Some(status.message.clone())),
            Err(error) => Err(chain(&error)),
        }
    };
    let what = format!("{name} to be accepted");
    match progress::wait_for(&what, Duration::from_secs(60), Duration::from_millis(500), probe).await? {
        Some(refusal) => Err(Failure::new(format!("apply {name}"), refusal)),
        None => Ok(()),
    }
}

/// Whether an answer stays the same however often one asks.
fn is_final(code: u16) -> bool {
    (400..500).contains(&code) && !matches!(code, 401 | 403 | 404 | 409 | 429)
}

async fn apply_once(client: &Client, object: Value) -> std::result::Result<(), kube::Error> {
    let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    // Changing comes first: creating a Service a second time is refused for its address, not for its name.
    match api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            api.create(&PostParams::default(), &object).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Reads one object as JSON; `None` when there is none.
pub async fn get(client: &Client, path: &str) -> std::result::Result<Option<Value>, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request::<Value>(request).await {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes one object; absent is as good as deleted.
pub async fn delete(client: &Client, path: &str) -> std::result::Result<(), kube::Error> {
    let request = http::Request::delete(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// Sets an annotation on a node as soon as its kubelet has registered it.
pub async fn annotate_node(
    client: &Client,
    node: &str,
    key: &str,
    value: &str,
    limit: Duration,
) -> Result<()> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node"));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let patch = Patch::Merge(serde_json::json!({"metadata": {"annotations": {key: value}}}));
    let probe = || async {
        let patched = api.patch(node, &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|error| chain(&error))
    };
    progress::wait_for(&format!("node {node} to be registered"), limit, Duration::from_millis(200), probe)
        .await
}

/// Waits until a node is Ready; the reason shown meanwhile is the one that the kubelet gives.
pub async fn wait_node_ready(client: &Client, node: &str, limit: Duration) -> Result<()> {
    let path = format!("/api/v1/nodes/{node}");
    let probe = || async {
        let object = get(client, &path).await.map_err(|error| chain(&error))?;
        let object = object.ok_or("the kubelet has not registered it yet")?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let ready = ready.ok_or("the kubelet has not reported its condition yet")?;
        if ready["status"] == "True" {
            return Ok(());
        }
        Err(format!(
            "{}: {}",
            ready["reason"].as_str().unwrap_or("NotReady"),
            ready["message"].as_str().unwrap_or("")
        ))
    };
    progress::wait_for(&format!("node {node} to be Ready"), limit, Duration::from_millis(200), probe).await
}

/// Waits until every wanted pod of a DaemonSet or Deployment is available. `app` is the value of its pods' label
/// `k8s-app`.
pub async fn wait_workload(
    client: &Client,
    plural: &str,
    name: &str,
    app: &str,
    limit: Duration,
) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/kube-system/{plural}/{name}");
    let probe = || async {
        let object =
            get(client, &path).await.map_err(|error| chain(&error))?.ok_or("it does not exist yet")?;
        let status = &object["status"];
        let count = |value: &Value| value.as_i64().unwrap_or(0);
        let (wanted, available) = if plural == "daemonsets" {
            (count(&status["desiredNumberScheduled"]), count(&status["numberAvailable"]))
        } else {
            (count(&object["spec"]["replicas"]), count(&status["availableReplicas"]))
        };
        if wanted > 0 && available >= wanted {
            return Ok(());
        }
        Err(format!("{available} of {wanted} pods are available{}", pods_reason(client, app).await))
    };
    progress::wait_for(&format!("{name} to be available"), limit, Duration::from_millis(300), probe)
        .await
        .map_err(|failure| failure.cure(format!("kubectl -n kube-system describe pods -l k8s-app={app}")))
}

/// Why the first pod of an add-on that does not run does not.
async fn pods_reason(client: &Client, app: &str) -> String {
    let path = format!("/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3D{app}");
    let Ok(Some(list)) = get(client, &path).await else { return String::new() };
    for pod in list["items"].as_array().into_iter().flatten() {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        if let Some(reason) = waiting["reason"].as_str() {
            let message = waiting["message"].as_str().unwrap_or("");
            return format!("; {}: {reason} {message}", pod["metadata"]["name"].as_str().unwrap_or("a pod"));
        }
        for condition in pod["status"]["conditions"].as_array().into_iter().flatten() {
            if condition["type"] == "PodScheduled" && condition["status"] == "False" {
                return format!("; {}", condition["message"].as_str().unwrap_or("a pod is not scheduled"));
            }
        }
    }
    String::new()
}
