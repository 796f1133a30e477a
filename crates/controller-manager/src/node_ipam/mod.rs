//! `node-ipam-controller`: gives every node ranges for its pods, one per IP family.

mod plan;

use api_types::k8s::api::core::v1::Node;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::{Informer, Key, Patch, Writer, Writes};
use parking_lot::Mutex;
use serde_json::json;

use crate::common::cidr::Cidr;
use crate::context::Context;
use plan::Pool;

/// Runs the controller until shutdown, if `--allocate-node-cidrs` asks for it.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let network = &context.options.network;
    if !network.allocate_node_cidrs {
        return Ok(());
    }
    let reserved: Vec<Cidr> =
        network.service_cluster_ip_range.iter().filter_map(|range| Cidr::parse(range)).collect();
    let mut pools = Vec::new();
    for range in network.cluster_cidr.iter().filter_map(|range| Cidr::parse(range)) {
        let sizes = if range.address.is_ipv4() {
            [network.node_cidr_mask_size_ipv4, network.node_cidr_mask_size, 24]
        } else {
            [network.node_cidr_mask_size_ipv6, network.node_cidr_mask_size, 64]
        };
        let prefix = sizes.into_iter().find(|size| *size > 0).unwrap_or(24);
        let pool = Pool::new(range, prefix, &reserved);
        let problem = || {
            anyhow::anyhow!(
                "node mask size /{prefix} does not fit --cluster-cidr {range}; choose a larger --node-cidr-mask-size"
            )
        };
        pools.push(pool.ok_or_else(problem)?);
    }
    let nodes = context.informers.all::<Node>();
    let reconciler = Ranges {
        nodes: nodes.clone(),
        writer: context.writer(),
        recorder: context.recorder("cidrAllocator"),
        pools: Mutex::new(pools),
    };
    // One worker: two nodes must never be given the same range.
    Controller::new("node_ipam", reconciler, context.shutdown)
        .watch(&nodes, |change| vec![change.key.clone()])
        .run(1)
        .await;
    Ok(())
}

struct Ranges {
    nodes: Informer<Node>,
    writer: Writer<Node>,
    recorder: Recorder,
    pools: Mutex<Vec<Pool>>,
}

#[async_trait]
impl Reconciler for Ranges {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let node = self.nodes.store().get(key);
        let Some(node) =
            node.filter(|node| ranges(node).is_empty() && node.metadata.deletion_timestamp.is_none())
        else {
            return Ok(Next::Wait);
        };
        let chosen = {
            let mut pools = self.pools.lock();
            let used: Vec<Cidr> = self.nodes.store().list().iter().flat_map(|node| ranges(node)).collect();
            pools.iter_mut().map(|pool| pool.take(&used)).collect::<Option<Vec<Cidr>>>()
        };
        let Some(chosen) = chosen else {
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            self.recorder.event(&*node, EventKind::Normal, "CIDRNotAvailable", message);
            return Err(anyhow::anyhow!("no range is left for node {}; enlarge --cluster-cidr", key.name));
        };
        let chosen: Vec<String> = chosen.iter().map(Cidr::to_string).collect();
        let patch = Patch::Strategic(json!({
            "metadata": { "uid": node.metadata.uid },
            "spec": { "podCIDR": chosen.first(), "podCIDRs": chosen },
        }));
        self.writer.patch(writes, key, &patch).await?;
        tracing::info!(node = %key, ranges = chosen.join(","), "gave a node its pod ranges");
        Ok(Next::Wait)
    }
}

/// The ranges that a node has.
fn ranges(node: &Node) -> Vec<Cidr> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let all = spec.pod_cidrs.iter().flatten().chain(spec.pod_cidr.iter());
    let mut found: Vec<Cidr> = all.filter_map(|text| Cidr::parse(text)).collect();
    found.dedup();
    found
}
