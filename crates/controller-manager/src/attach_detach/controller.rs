//! Wiring: everything that concerns a node's volumes wakes the node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use api_types::k8s::api::storage::v1::{CSIDriver, VolumeAttachment};
use api_types::volumes;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind, Recorder};
use client::informer::by_node;
use client::kube::ResourceExt;
use client::{Change, DeleteParams, ErrorExt, Informer, Key, Patch, Writer, Writes};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;

use super::plan::{self, Plan, Snapshot, Wanted};
use crate::common::pods;
use crate::context::Context;

/// Nodes whose volumes this controller attaches carry this annotation.
const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// Index of attachments by node.
const NODE: &str = "node";
/// Index of attachments by volume.
const VOLUME: &str = "volume";
/// How often a volume that has to go or to come is looked at again.
const RETRY: Duration = Duration::from_secs(30);

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let nodes = context.informers.all::<Node>();
    let pods = context.informers.all::<Pod>();
    pods.index(pods::BY_NODE, by_node).index(pods::BY_CLAIM, pods::by_claim);
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let attachments = context.informers.all::<VolumeAttachment>();
    attachments
        .index(NODE, |attachment| vec![attachment.spec.node_name.clone()])
        .index(VOLUME, |attachment| {
            attachment.spec.source.persistent_volume_name.clone().into_iter().collect()
        });
    let attacher = Attacher {
        nodes: nodes.clone(),
        pods: pods.clone(),
        claims: claims.clone(),
        volumes: context.informers.all(),
        drivers: context.informers.all(),
        attachments: attachments.clone(),
        writer: context.writer(),
        node_writer: context.writer(),
        recorder: context.recorder("attachdetach-controller"),
        held: Mutex::default(),
        force: !context.options.volumes.disable_force_detach_on_timeout,
    };
    let (by_name, drivers) = (attacher.volumes.clone(), attacher.drivers.clone());
    let (users, waiting, theirs) = (pods.clone(), pods.clone(), by_name.clone());
    Controller::new("attachdetach", attacher, context.shutdown)
        .watch(&nodes, |change| vec![change.key.clone()])
        .watch(&pods, of_pod)
        .watch(&claims, move |change| of_claim(change, &users))
        .watch(&attachments, move |change| of_attachment(change, &theirs, &waiting))
        .after(&by_name)
        .after(&drivers)
        .run(2)
        .await;
    Ok(())
}

fn of_pod(change: &Change<Pod>) -> Vec<Key> {
    let concerned = change.states().filter(|pod| pods::claims(pod).next().is_some());
    concerned.map(|pod| pods::node(pod)).filter(|node| !node.is_empty()).map(Key::cluster).collect()
}

fn of_claim(change: &Change<PersistentVolumeClaim>, pods: &Informer<Pod>) -> Vec<Key> {
    let users = pods.store().by_index(pods::BY_CLAIM, &change.key.to_string());
    users.iter().map(|pod| pods::node(pod)).filter(|node| !node.is_empty()).map(Key::cluster).collect()
}

/// An attachment's node, and when it goes those that wait for the volume.
fn of_attachment(
    change: &Change<VolumeAttachment>,
    by_name: &Informer<PersistentVolume>,
    pods: &Informer<Pod>,
) -> Vec<Key> {
    let mut nodes: Vec<Key> =
        change.states().map(|attachment| Key::cluster(&attachment.spec.node_name)).collect();
    let source = change.old.as_ref().filter(|_| change.new.is_none());
    let name = source.and_then(|attachment| attachment.spec.source.persistent_volume_name.as_deref());
    if let Some(volume) = name.and_then(|name| by_name.store().find("", name))
        && let Some((namespace, name)) = volumes::claim_of(&volume)
    {
        let users = pods.store().by_index(pods::BY_CLAIM, &format!("{namespace}/{name}"));
        nodes.extend(
            users.iter().map(|pod| pods::node(pod)).filter(|node| !node.is_empty()).map(Key::cluster),
        );
    }
    nodes
}

struct Attacher {
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    drivers: Informer<CSIDriver>,
    attachments: Informer<VolumeAttachment>,
    writer: Writer<VolumeAttachment>,
    node_writer: Writer<Node>,
    recorder: Recorder,
    /// Since when attachments are held though nobody needs them, by name.
    held: Mutex<BTreeMap<String, Timestamp>>,
    force: bool,
}

#[async_trait]
impl Reconciler for Attacher {
    /// A node.
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let node = self.nodes.store().get(key);
        if node.as_ref().is_some_and(|node| !node.annotations().contains_key(MANAGED)) {
            return Ok(Next::Wait);
        }
        let snapshot = Snapshot {
            name: key.name.to_string(),
            wanted: if node.is_some() { self.wanted(&key.name) } else { Vec::new() },
            node,
            attachments: self.attachments.store().by_index(NODE, &key.name),
        };
        let now = Timestamp::now();
        let plan = plan::plan(&snapshot, &self.held.lock(), self.force, now);
        self.act(&snapshot, &plan, writes).await?;
        let mut held = self.held.lock();
        for name in &plan.held {
            held.entry(name.clone()).or_insert(now);
        }
        held.retain(|name, _| self.attachments.store().find("", name).is_some());
        let waits = !plan.held.is_empty() || !plan.blocked.is_empty();
        Ok(if waits { Next::After(RETRY) } else { Next::Wait })
    }
}

impl Attacher {
    /// The volumes that pods of a node need and that have to be attached.
    fn wanted(&self, node: &str) -> Vec<Wanted> {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for pod in self.pods.store().by_index(pods::BY_NODE, node) {
            if pods::is_terminal(&pod) {
                continue;
            }
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            for claim in pods::claims(&pod) {
                let Some(volume) =
                    self.volume(namespace, &claim).filter(|volume| self.needs_attaching(volume))
                else {
                    continue;
                };
                let entry = wanted.entry(volume.name_any()).or_insert_with(|| Wanted {
                    elsewhere: self.elsewhere(&volume, node),
                    volume,
                    pods: Vec::new(),
                });
                entry.pods.push(Arc::clone(&pod));
            }
        }
        wanted.into_values().collect()
    }

    /// The volume that a claim is bound to.
    fn volume(&self, namespace: &str, claim: &str) -> Option<Arc<PersistentVolume>> {
        let claim = self.claims.store().find(namespace, claim)?;
        let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let volume = self.volumes.store().find("", volumes::volume_of(&claim)).filter(|_| bound)?;
        volumes::is_reserved_for(&volume, &claim).then_some(volume)
    }

    /// Whether a volume's driver wants to be asked; unless it says otherwise it does.
    fn needs_attaching(&self, volume: &PersistentVolume) -> bool {
        let source = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
        source.is_some_and(|source| {
            let driver = self.drivers.store().find("", &source.driver);
            driver.is_none_or(|driver| driver.spec.attach_required != Some(false))
        })
    }

    /// The pods that use a volume on another node to which it is attached and which it may not share.
    fn elsewhere(&self, volume: &PersistentVolume, node: &str) -> Option<Vec<Arc<Pod>>> {
        if !plan::is_exclusive(volume) {
            return None;
        }
        let attachments = self.attachments.store().by_index(VOLUME, &volume.name_any());
        attachments.iter().find(|attachment| attachment.spec.node_name != node)?;
        let (namespace, name) = volumes::claim_of(volume)?;
        let mut users = self.pods.store().by_index(pods::BY_CLAIM, &format!("{namespace}/{name}"));
        users.retain(|pod| !pods::node(pod).is_empty() && pods::node(pod) != node);
        Some(users)
    }

    async fn act(&self, snapshot: &Snapshot, plan: &Plan, writes: &Writes) -> Result<(), anyhow::Error> {
        for attachment in &plan.attach {
            match self.writer.create(writes, attachment).await {
                Err(error) if !error.is_already_exists() => return Err(error.into()),
                _ => {}
            }
        }
        self.tell(snapshot, plan);
        // The kubelet must not mount what is about to go: the report comes first.
        if let Some(report) = &plan.report {
            let patch = Patch::Merge(json!({ "status": { "volumesAttached": report } }));
            match self.node_writer.patch_sub(writes, "status", &Key::cluster(&snapshot.name), &patch).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        for name in &plan.detach {
            match self.writer.delete(writes, &Key::cluster(name), &DeleteParams::default()).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => tracing::info!(node = snapshot.name, attachment = name, "volume is to be detached"),
            }
        }
        Ok(())
    }

    fn tell(&self, snapshot: &Snapshot, plan: &Plan) {
        let tell = |wanted: &Wanted, kind, reason, message: &dyn Fn(&Pod) -> String| {
            for pod in &wanted.pods {
                self.recorder.event(&**pod, kind, reason, message(pod));
            }
        };
        for &position in &plan.arrived {
            let wanted = &snapshot.wanted[position];
            let message = format!("AttachVolume.Attach succeeded for volume {:?} ", wanted.volume.name_any());
            tell(wanted, Kind::Normal, "SuccessfulAttachVolume", &|_| message.clone());
        }
        for &position in &plan.blocked {
            let wanted = &snapshot.wanted[position];
            tell(wanted, Kind::Warning, "FailedAttachVolume", &|pod| {
                plan::blocked_message(wanted, pod.metadata.namespace.as_deref().unwrap_or_default())
            });
        }
        for (position, error) in &plan.failed {
            let wanted = &snapshot.wanted[*position];
            let name = wanted.volume.name_any();
            let message = format!("AttachVolume.Attach failed for volume {name:?} : {error}");
            tell(wanted, Kind::Warning, "FailedAttachVolume", &|_| message.clone());
        }
    }
}
