//! What remote group versions serve, told beside what this server serves.

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::Remote;
use super::availability::identity_headers;
use crate::outbound::Client;

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The aggregated form, in the versions that servers may know.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// `groupPriorityMinimum` of the groups of custom resources; built-in groups have more than anybody else.
const CUSTOM_PRIORITY: i64 = 1000;

/// Asks a server what it serves, and keeps the answer.
pub async fn refresh(remote: &Remote) {
    let clients = remote.clients();
    let Ok(client) = &clients.requests else { return };
    let entry = match aggregated(remote, client).await {
        Some(entry) => Some(entry),
        None => legacy(remote, client).await,
    };
    if let Some(mut entry) = entry {
        entry["version"] = remote.version.as_str().into();
        entry["freshness"] = "Current".into();
        remote.discovery.store(Some(Arc::new(entry)));
    }
    if let Some(index) = fetch(client, "/openapi/v3", None).await {
        remote.openapi.store(index["paths"].as_object().cloned().map(Arc::new));
    }
}

async fn fetch(client: &Client, path: &str, accept: Option<&'static str>) -> Option<Value> {
    let mut headers: HeaderMap = identity_headers();
    if let Some(accept) = accept {
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
    }
    let (parts, body) = client.fetch(path, &headers, FETCH_TIMEOUT).await.ok()?;
    parts.status.is_success().then(|| serde_json::from_slice(&body).ok()).flatten()
}

async fn aggregated(remote: &Remote, client: &Client) -> Option<Value> {
    let document = fetch(client, "/apis", Some(AGGREGATED)).await?;
    if document["kind"] != "APIGroupDiscoveryList" {
        return None;
    }
    let mut groups = document["items"].as_array()?.iter();
    let group = groups.find(|group| group["metadata"]["name"] == remote.group.as_str())?;
    let mut versions = group["versions"].as_array()?.iter();
    versions.find(|version| version["version"] == remote.version.as_str()).cloned()
}

/// The entry of a server that only knows the form without aggregation.
async fn legacy(remote: &Remote, client: &Client) -> Option<Value> {
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    let list = fetch(client, &path, None).await?;
    Some(json!({ "resources": resources(&remote.group, &remote.version, &list) }))
}

/// The resources of an APIResourceList in the aggregated form.
fn resources(group: &str, version: &str, list: &Value) -> Vec<Value> {
    let entries = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let kind = |entry: &Value| {
        let or = |key: &str, own: &str| match entry[key].as_str() {
            Some(named) if !named.is_empty() => named.to_owned(),
            _ => own.to_owned(),
        };
        json!({"group": or("group", group), "version": or("version", version), "kind": entry["kind"]})
    };
    let mut out: Vec<Value> = Vec::new();
    for entry in entries.iter().filter(|entry| !text(entry, "name").contains('/')) {
        let mut resource = Map::new();
        resource.insert("resource".into(), entry["name"].clone());
        resource.insert("responseKind".into(), kind(entry));
        let scope = if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
        resource.insert("scope".into(), scope.into());
        resource.insert("singularResource".into(), text(entry, "singularName").into());
        for key in ["verbs", "shortNames", "categories"] {
            if let Some(list) = entry.get(key) {
                resource.insert(key.into(), list.clone());
            }
        }
        let prefix = format!("{}/", text(entry, "name"));
        let subresources: Vec<Value> = entries
            .iter()
            .filter_map(|sub| {
                let name = sub["name"].as_str()?.strip_prefix(&prefix)?;
                Some(json!({"subresource": name, "responseKind": kind(sub), "verbs": sub["verbs"]}))
            })
            .collect();
        if !subresources.is_empty() {
            resource.insert("subresources".into(), subresources.into());
        }
        out.push(resource.into());
    }
    out
}

/// The remotes, to be told of beside what is served here.
pub struct Merged(Vec<Arc<Remote>>);

impl Merged {
    /// In the order of discovery: groups by priority and name, versions by priority.
    pub fn of(remotes: &[Arc<Remote>]) -> Self {
        let mut remotes: Vec<_> = remotes.iter().filter(|remote| !remote.group.is_empty()).cloned().collect();
        remotes.sort_by(|a, b| {
            let key = |r: &Remote| {
                (std::cmp::Reverse(r.group_priority), r.group.clone(), std::cmp::Reverse(r.version_priority))
            };
            key(a).cmp(&key(b))
        });
        Self(remotes)
    }

    /// Adds the remotes to `groups` of an APIGroupList.
    pub fn extend_groups(&self, groups: &mut Vec<Value>, is_builtin: impl Fn(&str) -> bool) {
        for remote in &self.0 {
            let version = json!({
                "groupVersion": format!("{}/{}", remote.group, remote.version), "version": remote.version,
            });
            match groups.iter_mut().find(|group| group["name"] == remote.group.as_str()) {
                Some(group) => push_version(group, version, "version"),
                None => {
                    let at = place(
                        groups,
                        remote,
                        |group| group["name"].as_str().unwrap_or_default(),
                        &is_builtin,
                    );
                    let group =
                        json!({"name": remote.group, "versions": [version], "preferredVersion": version});
                    groups.insert(at, group);
                }
            }
        }
    }

    /// Adds the remotes to `items` of an APIGroupDiscoveryList.
    pub fn extend_items(&self, items: &mut Vec<Value>, is_builtin: impl Fn(&str) -> bool) {
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        for remote in &self.0 {
            let known = remote.discovery.load_full();
            let stale = || json!({"version": remote.version, "freshness": "Stale"});
            let mut version = known.map_or_else(stale, |known| (*known).clone());
            if !remote.is_available() {
                version["freshness"] = "Stale".into();
            }
            match items.iter_mut().find(|item| name(item) == remote.group) {
                Some(item) => push_version(item, version, "version"),
                None => {
                    let at = place(
                        items,
                        remote,
                        |item| item["metadata"]["name"].as_str().unwrap_or_default(),
                        &is_builtin,
                    );
                    items.insert(at, json!({"metadata": {"name": remote.group}, "versions": [version]}));
                }
            }
        }
    }
}

/// Adds a version to a group, in the place of one of that name.
fn push_version(group: &mut Value, version: Value, key: &str) {
    let Some(versions) = group["versions"].as_array_mut() else { return };
    match versions.iter_mut().find(|known| known[key] == version[key]) {
        Some(known) => *known = version,
        None => versions.push(version),
    }
}

/// Where a remote's group comes among groups that are in order.
fn place<'a>(
    groups: &'a [Value],
    remote: &Remote,
    name: impl Fn(&'a Value) -> &'a str,
    is_builtin: &impl Fn(&str) -> bool,
) -> usize {
    let later = |group: &'a Value| {
        let name = name(group);
        let priority = if is_builtin(name) { i64::MAX } else { CUSTOM_PRIORITY };
        (priority, std::cmp::Reverse(name)) < (remote.group_priority, std::cmp::Reverse(&*remote.group))
    };
    groups.iter().position(later).unwrap_or(groups.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_lists_become_aggregated() {
        let list = json!({"resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"]},
            {"name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["update"]},
        ]});
        let kind = json!({"group": "g", "version": "v1", "kind": "Flunder"});
        assert_eq!(
            json!(resources("g", "v1", &list)),
            json!([{
                "resource": "flunders", "singularResource": "flunder", "scope": "Namespaced", "verbs": ["get"],
                "responseKind": kind,
                "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["update"]}],
            }])
        );
    }
}
