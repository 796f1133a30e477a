//! `pod-garbage-collector-controller`: removes pods that nobody else will: of nodes that are gone, deleted before they were
//! bound, and finished ones beyond a limit.

mod plan;

use std::collections::HashMap;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Node, Pod};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use client::{DeleteParams, ErrorExt, Informer, Key, Patch, Writer, Writes, write};
use jiff::Timestamp;
use serde_json::json;

use crate::common::pods;
use crate::context::Context;
use plan::{Reason, Snapshot};

/// How often all pods are looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let collector = Collector {
        pods: context.informers.all::<Pod>(),
        nodes: context.informers.all::<Node>(),
        writer: context.writer(),
        node_writer: context.writer(),
        threshold: context.options.tuning.terminated_pod_gc_threshold,
    };
    collector.pods.synced().await;
    collector.nodes.synced().await;
    let mut missing = HashMap::new();
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => collector.round(&mut missing).await,
        }
    }
}

struct Collector {
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    writer: Writer<Pod>,
    node_writer: Writer<Node>,
    threshold: i64,
}

impl Collector {
    async fn round(&self, missing: &mut HashMap<String, Timestamp>) {
        let now = Timestamp::now();
        let snapshot = Snapshot {
            pods: self.pods.store().list(),
            nodes: self.nodes.store().list(),
            threshold: self.threshold,
        };
        plan::note_missing(&snapshot, missing, now);
        for (pod, reason) in plan::plan(&snapshot, missing, now) {
            if reason == Reason::NodeGone && !self.really_gone(pods::node(&pod)).await {
                continue;
            }
            if let Err(error) = self.remove(&pod, reason, now).await {
                tracing::warn!(pod = %Key::of(&*pod), %error, "cannot remove a pod that is left over");
            }
        }
    }

    /// Asks the server, because the cache may be behind.
    async fn really_gone(&self, node: &str) -> bool {
        matches!(self.node_writer.get(&Key::cluster(node)).await, Err(error) if error.is_not_found())
    }

    async fn remove(&self, pod: &Pod, reason: Reason, now: Timestamp) -> Result<(), client::Error> {
        let key = Key::of(pod);
        let writes = Writes::default();
        tracing::info!(pod = %key, ?reason, "removing a pod that is left over");
        if let Some(message) = reason.disruption()
            && !pods::is_terminal(pod)
        {
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": message,
                "lastTransitionTime": Time(now),
            });
            let patch = Patch::Strategic(json!({
                "metadata": { "uid": pod.metadata.uid },
                "status": { "phase": "Failed", "conditions": [condition] },
            }));
            match self.writer.patch_sub(&writes, "status", &key, &patch).await {
                Err(error) if error.is_not_found() => return Ok(()),
                result => result?,
            };
        }
        let how = DeleteParams { grace_period_seconds: Some(0), ..write::only(pod.metadata.uid.as_deref()) };
        match self.writer.delete(&writes, &key, &how).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
