//! Makes the Node object, keeps its labels and its status up to date.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use client::{Api, Client, ErrorExt, Patch, PatchParams, PostParams};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::status::{self, Facts};
use crate::cri::{Runtime, v1};
use crate::events::{Events, Severity};
use crate::host::Host;
use crate::report::chain;

/// Pause after a failed request.
const RETRY: Duration = Duration::from_secs(1);
/// How often the host is looked at for changes that should not wait for the next update.
const LOOK: Duration = Duration::from_millis(500);

/// What registration is told.
pub struct Registration {
    /// The connection.
    pub client: Client,
    /// The node.
    pub host: Arc<Host>,
    /// The container runtime.
    pub runtime: Runtime,
    /// Events about the node.
    pub events: Arc<dyn Events>,
    /// Labels from --node-labels.
    pub labels: Vec<(String, String)>,
    /// Taints for a new node.
    pub taints: Vec<Taint>,
    /// providerID, empty for none.
    pub provider_id: String,
    /// registerNode: whether a missing Node is made.
    pub register: bool,
    /// Port of the kubelet's server.
    pub port: u16,
    /// nodeStatusUpdateFrequency.
    pub update: Duration,
    /// nodeStatusReportFrequency.
    pub report: Duration,
    /// nodeStatusMaxImages.
    pub max_images: i32,
    /// Conditions under pressure.
    pub pressure: Arc<Mutex<Vec<&'static str>>>,
}

impl Registration {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let mut complained = None;
        self.host.runtime_asked().await;
        self.register(&mut complained).await;
        self.events.node(Severity::Normal, "Starting", "Starting kubelet.".into());
        let mut reported = Instant::now() - self.report;
        let mut was_ready = None;
        let mut images = (Instant::now() - self.update, Vec::new());
        loop {
            if images.0.elapsed() >= self.update {
                images = (Instant::now(), self.images().await);
            }
            // What the API has, not what was written last: the node controller marks a node Unknown that fell silent, and
            // then the same status is news again.
            let present = self.host.node().and_then(|node| node.status.clone()).unwrap_or_default();
            let new = self.status(&present, images.1.clone()).await;
            self.tell_readiness(&new, &mut was_ready);
            if status::differs(&present, &new) || reported.elapsed() >= self.report {
                match self.write(&new).await {
                    Ok(node) => {
                        complained = None;
                        reported = Instant::now();
                        self.follow_pod_range(&node).await;
                        self.host.set_node(Arc::new(node));
                    }
                    // Somebody has deleted the node; a node that lives comes back.
                    Err(error) if error.is_not_found() && self.register => {
                        self.register(&mut complained).await;
                        continue;
                    }
                    Err(error) => {
                        complain(
                            &mut complained,
                            "Node status not written; trying again",
                            &error.to_string(),
                        );
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
            }
            self.rest().await;
        }
    }

    /// Waits for the next update, or until the runtime's state changes, or what the API says of the node's readiness.
    async fn rest(&self) {
        let state = || {
            let problems = (self.host.runtime_problem(), self.host.network_problem());
            (problems, self.pressure.lock().clone(), self.host.node().and_then(|node| readiness(&node)))
        };
        let before = state();
        let end = Instant::now() + self.update;
        while Instant::now() < end && state() == before {
            tokio::time::sleep(LOOK.min(self.update)).await;
        }
    }

    fn tell_readiness(&self, new: &NodeStatus, was: &mut Option<bool>) {
        let ready = ready_status(new).is_some_and(|status| status == "True");
        if was.replace(ready) != Some(ready) {
            let reason = if ready { "NodeReady" } else { "NodeNotReady" };
            self.events.node(
                Severity::Normal,
                reason,
                format!("Node {} status is now: {reason}", self.host.name),
            );
        }
    }

    /// Makes the Node or finds it, and remembers it. Tries until it succeeds.
    async fn register(&self, complained: &mut Option<String>) {
        let api = Api::<Node>::all(self.client.clone());
        loop {
            match self.try_register(&api).await {
                Ok(node) => {
                    self.host.set_node(Arc::new(node));
                    *complained = None;
                    tracing::info!(node = self.host.name, "Successfully registered node");
                    return;
                }
                Err(error) => complain(complained, "Node not registered; trying again", &chain(&error)),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_register(&self, api: &Api<Node>) -> Result<Node, client::Error> {
        if let Some(node) = api.get_opt(&self.host.name).await? {
            return self.correct_labels(api, node).await;
        }
        let new = self.new_node().await;
        if !self.register {
            // Somebody else makes the node; there is nothing to write to until then.
            return api.get(&self.host.name).await;
        }
        match api.create(&PostParams::default(), &new).await {
            Err(error) if error.is_already_exists() => api.get(&self.host.name).await,
            other => other,
        }
    }

    async fn new_node(&self) -> Node {
        let status = self.status(&NodeStatus::default(), self.images().await).await;
        Node {
            metadata: ObjectMeta {
                name: Some(self.host.name.clone()),
                labels: Some(self.all_labels()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: Some(self.taints.clone()).filter(|taints| !taints.is_empty()),
                provider_id: Some(self.provider_id.clone()).filter(|id| !id.is_empty()),
                ..NodeSpec::default()
            }),
            status: Some(status),
        }
    }

    fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<String, String> = self.labels.iter().cloned().collect();
        let arch = status::architecture();
        let own = [
            ("kubernetes.io/hostname", self.host.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", arch),
        ];
        labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        labels
    }

    async fn correct_labels(&self, api: &Api<Node>, node: Node) -> Result<Node, client::Error> {
        let has = node.metadata.labels.clone().unwrap_or_default();
        let missing: BTreeMap<String, String> =
            self.all_labels().into_iter().filter(|(key, value)| has.get(key) != Some(value)).collect();
        if missing.is_empty() {
            return Ok(node);
        }
        let patch = json!({"metadata": {"labels": missing}});
        api.patch(&self.host.name, &PatchParams::default(), &Patch::Strategic(patch)).await
    }

    async fn status(
        &self,
        old: &NodeStatus,
        images: Vec<api_types::k8s::api::core::v1::ContainerImage>,
    ) -> NodeStatus {
        let version = self.runtime.version(v1::VersionRequest { version: String::new() }).await;
        let runtime_version = match version {
            Ok(version) => format!("{}://{}", version.runtime_name, version.runtime_version),
            Err(_) => {
                old.node_info.as_ref().map(|info| info.container_runtime_version.clone()).unwrap_or_default()
            }
        };
        let pressure = self.pressure.lock().clone();
        let facts = Facts { runtime_version, images, pressure, port: self.port, now: Timestamp::now() };
        status::status(&self.host, &facts, old)
    }

    async fn images(&self) -> Vec<api_types::k8s::api::core::v1::ContainerImage> {
        let found = self.runtime.list_images(v1::ListImagesRequest { filter: None }).await;
        found.map(|found| status::images(found.images, self.max_images)).unwrap_or_default()
    }

    async fn write(&self, new: &NodeStatus) -> Result<Node, client::Error> {
        let api = Api::<Node>::all(self.client.clone());
        let patch = Patch::Strategic(status::patch(new));
        api.patch_status(&self.host.name, &PatchParams::default(), &patch).await
    }

    /// Tells the runtime the pod range that the node was given.
    async fn follow_pod_range(&self, node: &Node) {
        let range = |node: &Node| node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone());
        let Some(new) =
            range(node).filter(|new| self.host.node().and_then(|old| range(&old)).as_ref() != Some(new))
        else {
            return;
        };
        let network_config = Some(v1::NetworkConfig { pod_cidr: new.clone() });
        let request =
            v1::UpdateRuntimeConfigRequest { runtime_config: Some(v1::RuntimeConfig { network_config }) };
        match self.runtime.update_runtime_config(request).await {
            Ok(_) => tracing::info!(pod_cidr = new, "Pod range of the node told to the container runtime"),
            Err(error) => tracing::warn!(%error, "Pod range not told to the container runtime"),
        }
    }
}

fn readiness(node: &Node) -> Option<String> {
    ready_status(node.status.as_ref()?)
}

/// The status of the condition Ready.
fn ready_status(status: &NodeStatus) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "Ready").map(|condition| condition.status.clone())
}

/// Logs a problem once, until it changes.
fn complain(said: &mut Option<String>, what: &'static str, error: &str) {
    if said.as_deref() != Some(error) {
        tracing::warn!(error, "{what}");
        *said = Some(error.to_owned());
    }
}
