//! `taint-eviction-controller`: deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Pod};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::informer::by_node;
use client::{Change, ErrorExt, Informer, Key, Patch, Writer, Writes, write};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;

use crate::common::{pods, scheduling};
use crate::context::Context;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let nodes = context.informers.all::<Node>();
    let pods = context.informers.all::<Pod>();
    pods.index(pods::BY_NODE, by_node);
    let reconciler = Evictions {
        nodes: nodes.clone(),
        pods: pods.clone(),
        writer: context.writer(),
        recorder: context.recorder("taint-eviction-controller"),
        since: Mutex::default(),
    };
    let bound = pods.clone();
    Controller::new("taint_eviction_controller", reconciler, context.shutdown)
        .watch(&nodes, move |change| on_node(change, &bound))
        .watch(&pods, |change| vec![change.key.clone()])
        .run(4)
        .await;
    Ok(())
}

/// A change of a node's taints concerns its pods.
fn on_node(change: &Change<Node>, pods: &Informer<Pod>) -> Vec<Key> {
    let evicting = |node: &Arc<Node>| -> Vec<_> {
        scheduling::taints(node).iter().filter(|taint| taint.effect == "NoExecute").cloned().collect()
    };
    let before = change.old.as_ref().map(evicting).unwrap_or_default();
    let after = change.new.as_ref().map(evicting).unwrap_or_default();
    if before == after {
        return Vec::new();
    }
    pods.store().by_index(pods::BY_NODE, &change.key.name).iter().map(|pod| Key::of(&**pod)).collect()
}

struct Evictions {
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    writer: Writer<Pod>,
    recorder: Recorder,
    /// Since when a pod, by uid, has borne taints that it tolerates only for a time.
    since: Mutex<HashMap<Key, (Option<String>, Timestamp)>>,
}

#[async_trait]
impl Reconciler for Evictions {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let pod = self.pods.store().get(key).filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let node = pod.as_ref().and_then(|pod| self.nodes.store().find("", pods::node(pod)));
        let (Some(pod), Some(node)) = (pod, node) else {
            self.since.lock().remove(key);
            return Ok(Next::Wait);
        };
        let now = Timestamp::now();
        let Some(patience) = plan::patience(scheduling::taints(&node), scheduling::tolerations(&pod)) else {
            let cancelled = self.since.lock().remove(key).is_some();
            if cancelled {
                let message = format!("Cancelling deletion of Pod {key}");
                self.recorder.event(&*pod, EventKind::Normal, "TaintManagerEviction", message);
            }
            return Ok(Next::Wait);
        };
        let since = {
            let mut since = self.since.lock();
            let known = since.get(key).filter(|(uid, _)| *uid == pod.metadata.uid).map(|(_, at)| *at);
            let at = known.unwrap_or(now);
            since.insert(key.clone(), (pod.metadata.uid.clone(), at));
            at
        };
        let due = since.checked_add(patience).unwrap_or(Timestamp::MAX);
        if due > now {
            return Ok(Next::After(pods::until(due, now)));
        }
        self.evict(key, &pod, now, writes).await?;
        self.since.lock().remove(key);
        Ok(Next::Wait)
    }
}

impl Evictions {
    async fn evict(
        &self,
        key: &Key,
        pod: &Pod,
        now: Timestamp,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        self.recorder.event(
            pod,
            EventKind::Normal,
            "TaintManagerEviction",
            format!("Marking for deletion Pod {key}"),
        );
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": Time(now),
        });
        let patch = Patch::Strategic(json!({
            "metadata": { "uid": pod.metadata.uid },
            "status": { "conditions": [condition] },
        }));
        match self.writer.patch_sub(writes, "status", key, &patch).await {
            Err(error) if error.is_not_found() => return Ok(()),
            result => result?,
        };
        match self.writer.delete(writes, key, &write::only(pod.metadata.uid.as_deref())).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
