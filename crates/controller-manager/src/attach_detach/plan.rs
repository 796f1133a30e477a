//! Which volumes belong on a node, and what is to be done about those that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{AttachedVolume, Node, PersistentVolume, Pod};
use api_types::k8s::api::storage::v1::{VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use client::kube::ResourceExt;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::common::scheduling;

/// A node that does not answer may keep a volume that its pods no longer need for this long.
const PATIENCE: SignedDuration = SignedDuration::from_mins(6);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// What attachments of CSI volumes are called, before a digest.
const PREFIX: &str = "csi-";

/// A volume that pods of a node need.
#[derive(Debug)]
pub(super) struct Wanted {
    pub volume: Arc<PersistentVolume>,
    pub pods: Vec<Arc<Pod>>,
    /// It is attached elsewhere and can only be in one place: pods there that use it.
    pub elsewhere: Option<Vec<Arc<Pod>>>,
}

/// A node with everything that decides about its volumes.
pub(super) struct Snapshot {
    pub name: String,
    /// `None` when the node is gone.
    pub node: Option<Arc<Node>>,
    pub wanted: Vec<Wanted>,
    /// Attachments to the node.
    pub attachments: Vec<Arc<VolumeAttachment>>,
}

/// What to do for a node, in this order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Volumes to be attached.
    pub attach: Vec<VolumeAttachment>,
    /// Volumes that cannot be attached while they are elsewhere, as positions in `wanted`.
    pub blocked: Vec<usize>,
    /// What the node's status is to say; `None` for no change.
    pub report: Option<Vec<AttachedVolume>>,
    /// Volumes that became attached, as positions in `wanted`.
    pub arrived: Vec<usize>,
    /// Volumes whose driver cannot attach them, with its message.
    pub failed: Vec<(usize, String)>,
    /// Attachments to be removed, by name.
    pub detach: Vec<String>,
    /// Attachments that the kubelet still uses, by name.
    pub held: Vec<String>,
}

/// Plans for a node. `since` says for how long attachments have been held though nobody needs them; `force` whether patience
/// ends.
pub(super) fn plan(
    snapshot: &Snapshot,
    since: &BTreeMap<String, Timestamp>,
    force: bool,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let status = snapshot.node.as_ref().and_then(|node| node.status.as_ref());
    let reported = status.and_then(|status| status.volumes_attached.clone()).unwrap_or_default();
    let mut report = Vec::new();
    let mut needed = Vec::new();
    for (position, wanted) in snapshot.wanted.iter().enumerate() {
        let Some((name, unique)) = identity(&wanted.volume, &snapshot.name) else { continue };
        match snapshot.attachments.iter().find(|attachment| attachment.name_any() == name) {
            None if wanted.elsewhere.is_some() => plan.blocked.push(position),
            None => plan.attach.extend(attachment(&wanted.volume, &snapshot.name)),
            Some(attachment) => {
                let status = attachment.status.as_ref();
                if status.is_some_and(|status| status.attached) {
                    if !reported.iter().any(|known| known.name == unique) {
                        plan.arrived.push(position);
                    }
                    report.push(AttachedVolume { name: unique, device_path: String::new() });
                } else if let Some(error) = status.and_then(|status| status.attach_error.as_ref()) {
                    plan.failed.push((position, error.message.clone().unwrap_or_default()));
                }
            }
        }
        needed.push(name);
    }
    report.sort_by(|a, b| a.name.cmp(&b.name));
    let mut known = reported;
    known.sort_by(|a, b| a.name.cmp(&b.name));
    let same = known.len() == report.len() && known.iter().zip(&report).all(|(a, b)| a.name == b.name);
    plan.report = (snapshot.node.is_some() && !same).then_some(report);
    for attachment in &snapshot.attachments {
        let name = attachment.name_any();
        let ours = name.starts_with(PREFIX) && attachment.metadata.deletion_timestamp.is_none();
        if !ours || needed.contains(&name) {
            continue;
        }
        let waited = since.get(&name).map_or(SignedDuration::ZERO, |since| now.duration_since(*since));
        if is_free(snapshot, attachment) || (force && waited >= PATIENCE && !is_ready(snapshot)) {
            plan.detach.push(name);
        } else {
            plan.held.push(name);
        }
    }
    plan
}

/// Whether nothing on the node can be using an attachment.
fn is_free(snapshot: &Snapshot, attachment: &VolumeAttachment) -> bool {
    let Some(node) = &snapshot.node else { return true };
    if scheduling::taints(node).iter().any(|taint| taint.key == OUT_OF_SERVICE) {
        return true;
    }
    let in_use = node.status.as_ref().and_then(|status| status.volumes_in_use.as_deref()).unwrap_or_default();
    let source = attachment.spec.source.persistent_volume_name.as_deref();
    // The name in use holds the volume's handle, which only the volume knows; its digest is the attachment's name.
    source.is_none()
        || !in_use.iter().any(|unique| {
            unique.strip_prefix("kubernetes.io/csi/").and_then(|rest| rest.split_once('^')).is_some_and(
                |(driver, handle)| digest(handle, driver, &snapshot.name) == attachment.name_any(),
            )
        })
}

fn is_ready(snapshot: &Snapshot) -> bool {
    let status = snapshot.node.as_ref().and_then(|node| node.status.as_ref());
    let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The name of a volume's attachment to a node, and the volume's name in node statuses; `None` for types that need none.
pub(super) fn identity(volume: &PersistentVolume, node: &str) -> Option<(String, String)> {
    let source = volume.spec.as_ref()?.csi.as_ref()?;
    let name = digest(&source.volume_handle, &source.driver, node);
    Some((name, format!("kubernetes.io/csi/{}^{}", source.driver, source.volume_handle)))
}

fn digest(handle: &str, driver: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{handle}{driver}{node}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{hex}")
}

/// Whether a volume may be on one node only.
pub(super) fn is_exclusive(volume: &PersistentVolume) -> bool {
    let modes = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    !modes.is_empty() && !modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
}

fn attachment(volume: &PersistentVolume, node: &str) -> Option<VolumeAttachment> {
    let (name, _) = identity(volume, node)?;
    let driver = volume.spec.as_ref()?.csi.as_ref()?.driver.clone();
    Some(VolumeAttachment {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        spec: VolumeAttachmentSpec {
            attacher: driver,
            node_name: node.to_owned(),
            source: VolumeAttachmentSource {
                persistent_volume_name: volume.metadata.name.clone(),
                ..VolumeAttachmentSource::default()
            },
        },
        status: None,
    })
}

/// What users are told while a volume is elsewhere. Pods of other namespaces are not named.
pub(super) fn blocked_message(wanted: &Wanted, namespace: &str) -> String {
    let others = wanted.elsewhere.as_deref().unwrap_or_default();
    let near: Vec<String> = others
        .iter()
        .filter(|pod| pod.metadata.namespace.as_deref() == Some(namespace))
        .map(|pod| pod.name_any())
        .collect();
    let far = others.len() - near.len();
    let why = match (near.is_empty(), far) {
        (true, 0) => {
            "Volume is already exclusively attached to one node and can't be attached to another".to_owned()
        }
        (true, far) => format!("Volume is already used by {far} pod(s) in different namespaces"),
        (false, 0) => format!("Volume is already used by pod(s) {}", near.join(", ")),
        (false, far) => format!(
            "Volume is already used by pod(s) {} and {far} pod(s) in different namespaces",
            near.join(", ")
        ),
    };
    format!("Multi-Attach error for volume {:?} {why}", wanted.volume.name_any())
}
