//! `ttl-controller`: tells kubelets how long they may reuse configuration objects, more in larger clusters.

use api_types::k8s::api::core::v1::Node;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{Informer, Key, Patch, Writer, Writes};
use serde_json::json;

use crate::common::pods::annotation;
use crate::context::Context;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// Seconds for a cluster of that many nodes.
fn ttl(nodes: usize) -> u32 {
    match nodes {
        0..=100 => 0,
        101..=500 => 15,
        501..=1000 => 30,
        1001..=2000 => 60,
        _ => 300,
    }
}

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let nodes = context.informers.all::<Node>();
    let reconciler = Ttl { nodes: nodes.clone(), writer: context.writer() };
    Controller::new("ttlcontroller", reconciler, context.shutdown)
        .watch(&nodes, |change| vec![change.key.clone()])
        .run(2)
        .await;
    Ok(())
}

struct Ttl {
    nodes: Informer<Node>,
    writer: Writer<Node>,
}

#[async_trait]
impl Reconciler for Ttl {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(node) = self.nodes.store().get(key) else { return Ok(Next::Wait) };
        let wanted = ttl(self.nodes.store().len()).to_string();
        if annotation(&node.metadata, ANNOTATION) != Some(&wanted) {
            let patch = Patch::Merge(json!({ "metadata": { "annotations": { ANNOTATION: wanted } } }));
            self.writer.patch(writes, key, &patch).await?;
        }
        Ok(Next::Wait)
    }
}
