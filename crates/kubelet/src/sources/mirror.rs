//! Mirror pods: how the API shows static pods.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Node, Pod};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use client::{Api, DeleteParams, ErrorExt, Informer, PostParams};
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::pod::{CONFIG_HASH, CONFIG_MIRROR, PodExt, SharedPod};
use crate::pod_worker::registry::Registry;
use crate::report::chain;

/// How often static pods and mirror pods are compared when nothing happens in the API.
const PERIOD: Duration = Duration::from_secs(5);

/// Keeps one mirror pod per static pod.
pub struct Mirrors {
    /// The connection.
    pub client: client::Client,
    /// Pods of this node in the API.
    pub pods: Informer<Pod>,
    /// Pods of this node as they run.
    pub registry: Arc<Registry>,
    /// The node, owner of all mirror pods.
    pub host: Arc<Host>,
}

/// What to do about one name.
#[derive(Debug, PartialEq)]
enum Action {
    Create(SharedPod),
    /// By UID, so that a new one of the same name is safe.
    Delete(SharedPod),
}

impl Mirrors {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut complained = HashMap::new();
        let mut changes = self.pods.subscribe();
        loop {
            if self.pods.has_synced()
                && let Some(node) = self.host.node()
            {
                self.reconcile(&node, &mut complained).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
                change = changes.next() => {
                    // Own status updates of ordinary pods are no reason to look.
                    if !change.states().any(|pod| pod.is_mirror()) {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        }
    }

    async fn reconcile(&self, node: &Node, complained: &mut HashMap<String, String>) {
        let entries = self.registry.list().into_iter().map(|entry| entry.pod);
        let wanted: Vec<SharedPod> = entries.filter(|pod| pod.is_static()).collect();
        let existing: Vec<SharedPod> =
            self.pods.store().list().into_iter().filter(|pod| pod.is_mirror()).collect();
        for action in plan(&wanted, &existing) {
            let (pod, result) = match action {
                Action::Create(pod) => {
                    let result = self.create(&pod, node).await;
                    (pod, result)
                }
                Action::Delete(pod) => {
                    let result = self.delete(&pod).await;
                    (pod, result)
                }
            };
            match result {
                Ok(()) => drop(complained.remove(&pod.display())),
                Err(error) => {
                    let error = chain(&error);
                    if complained.insert(pod.display(), error.clone()) != Some(error.clone()) {
                        tracing::warn!(
                            pod = pod.display(),
                            error,
                            "Mirror pod not in step with its static pod; trying again"
                        );
                    }
                }
            }
        }
    }

    async fn create(&self, pod: &Pod, node: &Node) -> Result<(), client::Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), pod.namespace());
        match api.create(&PostParams::default(), &mirror(pod, node)).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }

    async fn delete(&self, pod: &Pod) -> Result<(), client::Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), pod.namespace());
        let how = DeleteParams {
            grace_period_seconds: Some(0),
            ..client::write::only(pod.metadata.uid.as_deref())
        };
        match api.delete(pod.name(), &how).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

fn plan(wanted: &[SharedPod], existing: &[SharedPod]) -> Vec<Action> {
    let mut actions = Vec::new();
    for mirror in existing {
        let source = wanted.iter().find(|pod| pod.display() == mirror.display());
        let fits = source.is_some_and(|pod| pod.annotation(CONFIG_HASH) == mirror.annotation(CONFIG_MIRROR));
        if !fits || mirror.is_deleting() {
            actions.push(Action::Delete(mirror.clone()));
        }
    }
    for pod in wanted {
        if !existing.iter().any(|mirror| mirror.display() == pod.display()) {
            actions.push(Action::Create(pod.clone()));
        }
    }
    actions
}

fn mirror(pod: &Pod, node: &Node) -> Pod {
    let mut annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let hash = annotations.get(CONFIG_HASH).cloned().unwrap_or_default();
    annotations.insert(CONFIG_MIRROR.into(), hash);
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    Pod {
        metadata: ObjectMeta {
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            labels: pod.metadata.labels.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: pod.spec.clone(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, annotation: &str, hash: &str) -> SharedPod {
        let text =
            format!("{{metadata: {{name: {name}, namespace: n, annotations: {{{annotation}: {hash}}}}}}}");
        Arc::new(serde_yaml::from_str(&text).unwrap())
    }

    #[test]
    fn mirrors_follow_static_pods() {
        let wanted =
            [pod("new", CONFIG_HASH, "1"), pod("same", CONFIG_HASH, "1"), pod("changed", CONFIG_HASH, "2")];
        let existing = [
            pod("same", CONFIG_MIRROR, "1"),
            pod("changed", CONFIG_MIRROR, "1"),
            pod("gone", CONFIG_MIRROR, "1"),
        ];
        let words: Vec<String> = plan(&wanted, &existing)
            .into_iter()
            .map(|action| match action {
                Action::Create(pod) => format!("create {}", pod.name()),
                Action::Delete(pod) => format!("delete {}", pod.name()),
            })
            .collect();
        assert_eq!(words, ["delete changed", "delete gone", "create new"]);
    }
}
