//! Wiring: nodes and their leases in, conditions, taints and pod readiness out.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::coordination::v1::Lease;
use api_types::k8s::api::core::v1::{Node, NodeStatus, Pod};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder, reference};
use client::informer::by_node;
use client::{ErrorExt, Informer, Key, Patch, Scope, Writer, Writes};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::plan::{self, Grace, Pulse};
use super::zones::{self, Limiter, Policy};
use crate::common::pods;
use crate::context::Context;

const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let nodes = context.informers.all::<Node>();
    let leases = context.informers.select::<Lease>(Scope::namespace(LEASE_NAMESPACE));
    let pods = context.informers.all::<Pod>();
    pods.index(pods::BY_NODE, by_node);
    let tuning = &context.options.tuning;
    let grace =
        Grace { running: tuning.node_monitor_grace_period.0, startup: tuning.node_startup_grace_period.0 };
    let reconciler = Nodes {
        nodes: nodes.clone(),
        leases: leases.clone(),
        pods: pods.clone(),
        writer: context.writer(),
        pod_writer: context.writer(),
        recorder: context.recorder("node-controller"),
        grace,
        pulses: Mutex::default(),
        limiter: Mutex::default(),
        policy: Policy {
            rate: tuning.node_eviction_rate,
            slow_rate: tuning.secondary_node_eviction_rate,
            large: tuning.large_cluster_size_threshold,
            threshold: tuning.unhealthy_zone_threshold,
        },
    };
    Controller::new("node_lifecycle_controller", reconciler, context.shutdown)
        .watch(&nodes, |change| vec![change.key.clone()])
        .watch(&leases, |change| vec![Key::cluster(&change.key.name)])
        .after(&pods)
        .run(8)
        .await;
    Ok(())
}

struct Nodes {
    nodes: Informer<Node>,
    leases: Informer<Lease>,
    pods: Informer<Pod>,
    writer: Writer<Node>,
    pod_writer: Writer<Pod>,
    recorder: Recorder,
    grace: Grace,
    pulses: Mutex<HashMap<Key, Pulse>>,
    limiter: Mutex<Limiter>,
    policy: Policy,
}

#[async_trait]
impl Reconciler for Nodes {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(node) = self.nodes.store().get(key) else {
            self.pulses.lock().remove(key);
            return Ok(Next::Wait);
        };
        let now = Timestamp::now();
        let expires = self.pulse(key, &node, now).expires(&node, self.grace);
        let mut node = Node::clone(&node);
        if expires <= now
            && let Some(conditions) = plan::unknown_conditions(&node, now)
        {
            node = self.lose(node, conditions, writes).await?;
        }
        let evict_in = self.turn(&node);
        let taints = plan::taints(&node, evict_in.is_ok(), now);
        let before = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let labels = plan::labels(&node);
        if taints != before || !labels.is_empty() {
            let mut patch = json!({ "metadata": { "resourceVersion": node.metadata.resource_version } });
            if taints != before {
                patch["spec"] = json!({ "taints": (!taints.is_empty()).then_some(taints) });
            }
            for (label, value) in labels {
                patch["metadata"]["labels"][label] = json!(value);
            }
            self.writer.patch(writes, key, &Patch::Merge(patch)).await?;
        }
        let mut wait = pods::until(expires, now);
        if expires <= now {
            // Nothing more to lose; the node's next sign of life wakes us.
            wait = std::time::Duration::from_secs(3600);
        }
        Ok(Next::After(
            evict_in.err().map_or(wait, |turn| wait.min(turn)) + std::time::Duration::from_millis(50),
        ))
    }
}

impl Nodes {
    fn pulse(&self, key: &Key, node: &Node, now: Timestamp) -> Pulse {
        let lease = self.leases.store().find(LEASE_NAMESPACE, &key.name);
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
        let mut pulses = self.pulses.lock();
        let pulse = Pulse::observe(pulses.get(key), node, renewed, now);
        pulses.insert(key.clone(), pulse.clone());
        pulse
    }

    /// Whether a NoExecute taint may be added now; else when to ask again. Nodes that need none always may.
    fn turn(&self, node: &Node) -> Result<(), std::time::Duration> {
        if !plan::wants_eviction(node) {
            return Ok(());
        }
        let states = zones::states(&self.nodes.store().list(), self.policy);
        let zone = zones::zone(node);
        self.limiter.lock().take(&zone, zones::rate(&states, &zone, self.policy), Instant::now())
    }

    /// Declares a node unknown, and its pods not ready.
    async fn lose(
        &self,
        mut node: Node,
        conditions: Vec<api_types::k8s::api::core::v1::NodeCondition>,
        writes: &Writes,
    ) -> Result<Node, anyhow::Error> {
        let was_ready = plan::ready_status(&node) == "True";
        let status = node.status.take().unwrap_or_default();
        node.status = Some(NodeStatus { conditions: Some(conditions), ..status });
        let node = self.writer.update_status(writes, &node).await?;
        let name = node.metadata.name.clone().unwrap_or_default();
        tracing::warn!(node = name, "node has stopped reporting");
        if was_ready {
            let message = format!("Node {name} status is now: NodeNotReady");
            self.recorder.about(reference(&node), EventKind::Normal, "NodeNotReady", "", message);
            for pod in self.pods.store().by_index(pods::BY_NODE, &name) {
                self.unready(&pod, writes).await?;
            }
        }
        Ok(node)
    }

    async fn unready(&self, pod: &Arc<Pod>, writes: &Writes) -> Result<(), anyhow::Error> {
        if !pods::is_ready(pod) {
            return Ok(());
        }
        let condition = json!({
            "type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now()),
        });
        let patch = Patch::Strategic(json!({
            "metadata": { "uid": pod.metadata.uid },
            "status": { "conditions": [condition] },
        }));
        match self.pod_writer.patch_sub(writes, "status", &Key::of(&**pod), &patch).await {
            Ok(_) => self.recorder.event(&**pod, EventKind::Warning, "NodeNotReady", "Node is not ready"),
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
