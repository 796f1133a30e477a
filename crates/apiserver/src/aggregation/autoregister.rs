//! An APIService for every group version that custom resource definitions serve, as upstream registers them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::authz::ObjectKey;
use parking_lot::Mutex;
use serde_json::{Value, json};
use storage::{Event, EventKind};
use tokio::sync::Notify;

use crate::admission::Reader;
use crate::error::{Error, Result};
use crate::feeds::{self, Follower};
use crate::loopback::{Objects, Target};
use crate::server::Server;

/// The label of APIServices that the server maintains.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Its value on those that come and go with definitions; built-in ones have another.
const WITH_DEFINITION: &str = "true";
/// Definitions often come in many at once; this much time may pass before their groups are registered.
const SETTLE: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(2);

/// Group and version.
type GroupVersion = (String, String);

/// What the definitions serve, by the definition's name.
#[derive(Default)]
struct Served {
    versions: Mutex<BTreeMap<String, Vec<GroupVersion>>>,
    changed: Notify,
    complete: AtomicBool,
}

/// Registers groups as long as the server runs.
pub async fn run(server: Arc<Server>) {
    let served = Arc::new(Served::default());
    let following = feeds::follow(
        Arc::clone(&server),
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        Arc::clone(&served) as Arc<dyn Follower>,
    );
    tokio::spawn(following);
    loop {
        tokio::select! {
            () = served.changed.notified() => {}
            () = server.shutdown.cancelled() => return,
        }
        tokio::time::sleep(SETTLE).await;
        if !served.complete.load(Ordering::Acquire) {
            continue;
        }
        if let Err(error) = register(&server, &served).await {
            tracing::warn!(%error, "cannot register the groups of custom resources; trying again");
            tokio::time::sleep(RETRY).await;
            served.changed.notify_one();
        }
    }
}

impl Follower for Served {
    fn take_in(&self, _: &str, event: &Event) {
        let name = event.object.name().to_owned();
        let mut versions = self.versions.lock();
        let before = versions.remove(&name);
        if event.kind != EventKind::Deleted {
            versions.insert(name.clone(), group_versions(&event.object.value()));
        }
        if versions.get(&name) != before.as_ref() {
            self.changed.notify_one();
        }
    }

    fn retain(&self, _: &str, present: &HashSet<ObjectKey>) {
        self.versions.lock().retain(|name, _| present.contains(&(String::new(), name.clone())));
        self.complete.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

fn group_versions(definition: &Value) -> Vec<GroupVersion> {
    let spec = &definition["spec"];
    let group = spec["group"].as_str().unwrap_or_default();
    let versions = spec["versions"].as_array().into_iter().flatten();
    versions
        .filter(|version| version["served"] == true)
        .filter_map(|version| Some((group.to_owned(), version["name"].as_str()?.to_owned())))
        .collect()
}

/// Makes what is missing, and removes what is no longer served.
async fn register(server: &Server, served: &Served) -> Result<()> {
    let registry = &*server.registry;
    let stored = Reader::list(registry, "apiregistration.k8s.io", "apiservices", "").await?;
    let stored: Vec<Value> = stored
        .iter()
        .map(|json| serde_json::from_slice(json))
        .collect::<std::result::Result<_, _>>()
        .map_err(Error::internal)?;
    let wanted: BTreeSet<GroupVersion> = served.versions.lock().values().flatten().cloned().collect();
    let plan = plan(&wanted, &stored);
    for (group, version) in &plan.missing {
        match Objects::create(registry, target(""), apiservice(group, version)).await {
            Err(error) if !error.is_already_exists() => return Err(error),
            _ => {}
        }
    }
    for name in &plan.obsolete {
        match Objects::delete(registry, target(name)).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    missing: Vec<GroupVersion>,
    obsolete: Vec<String>,
}

fn plan(wanted: &BTreeSet<GroupVersion>, stored: &[Value]) -> Plan {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let present: HashSet<String> = stored.iter().map(name).collect();
    let names: HashSet<String> = wanted.iter().map(|(group, version)| format!("{version}.{group}")).collect();
    let obsolete = stored.iter().filter(|object| object["metadata"]["labels"][MANAGED] == WITH_DEFINITION);
    Plan {
        missing: wanted
            .iter()
            .filter(|(group, version)| !present.contains(&format!("{version}.{group}")))
            .cloned()
            .collect(),
        obsolete: obsolete.map(name).filter(|name| !names.contains(name)).collect(),
    }
}

fn apiservice(group: &str, version: &str) -> Value {
    json!({
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: WITH_DEFINITION}},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100},
    })
}

fn target(name: &str) -> Target<'_> {
    Target { group: "apiregistration.k8s.io", resource: "apiservices", namespace: "", name, subresource: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_and_go_with_definitions() {
        let gv = |group: &str, version: &str| (group.to_owned(), version.to_owned());
        let stored =
            |name: &str, label: &str| json!({"metadata": {"name": name, "labels": {MANAGED: label}}});
        let wanted = [gv("a.io", "v1"), gv("b.io", "v1")].into();
        let objects = [
            stored("v1.a.io", "true"),
            stored("v1.old.io", "true"),
            stored("v1.apps", "onstart"),
            stored("v1.x", ""),
        ];
        assert_eq!(
            plan(&wanted, &objects),
            Plan { missing: vec![gv("b.io", "v1")], obsolete: vec!["v1.old.io".to_owned()] }
        );
        let definition = json!({"spec": {"group": "a.io", "versions": [
            {"name": "v1", "served": true}, {"name": "v1beta1", "served": false}]}});
        assert_eq!(group_versions(&definition), [gv("a.io", "v1")]);
    }
}
