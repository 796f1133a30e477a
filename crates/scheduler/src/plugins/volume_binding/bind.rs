//! Carries out a plan: binds volumes, asks for new ones, and waits until the volume controller has done its part.

use std::time::Duration;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use client::kube::ResourceExt;
use client::{Client, Key, Writer, Writes};

use super::super::volumes;
use super::find::Plan;
use crate::cache::PodInfo;
use crate::framework::Objects;

/// How a claim stands.
enum Standing {
    Bound,
    Waiting,
    /// It will not be bound any more; the pod has to be decided anew.
    Lost(String),
}

/// Writes what the plan says and waits until all claims are bound.
///
/// # Errors
/// When a write fails, a claim is gone, or it takes longer than `timeout`.
pub async fn bind(
    client: &Client,
    objects: &Objects,
    plan: &Plan,
    node: &str,
    pod: &PodInfo,
    timeout: Duration,
) -> Result<(), anyhow::Error> {
    // Subscribed before anything is written, so that no change is missed.
    let mut changes = objects.claims.subscribe();
    let writer: Writer<PersistentVolume> = Writer::new(client, &objects.volumes);
    for (volume, claim) in &plan.bind {
        let mut volume = (**volume).clone();
        if let Some(spec) = &mut volume.spec {
            spec.claim_ref = Some(volumes::reference(claim));
        }
        volume.annotations_mut().insert(volumes::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
        writer.update(&Writes::default(), &volume).await?;
    }
    let writer: Writer<PersistentVolumeClaim> = Writer::new(client, &objects.claims);
    for claim in &plan.provision {
        if claim.annotations().get(volumes::SELECTED_NODE).map(String::as_str) == Some(node) {
            continue;
        }
        let mut claim = (**claim).clone();
        claim.annotations_mut().insert(volumes::SELECTED_NODE.to_owned(), node.to_owned());
        writer.update(&Writes::default(), &claim).await?;
    }
    let finished = async {
        loop {
            match standing(objects, plan, node) {
                Standing::Bound => return Ok(()),
                Standing::Lost(why) => anyhow::bail!(why),
                Standing::Waiting => drop(changes.next().await),
            }
        }
    };
    match tokio::time::timeout(timeout, finished).await {
        Ok(result) => result,
        Err(_) => {
            anyhow::bail!("binding volumes: pod {} waited {timeout:?} for its claims to be bound", pod.key)
        }
    }
}

fn standing(objects: &Objects, plan: &Plan, node: &str) -> Standing {
    let bound = plan.bind.iter().map(|(_, claim)| (claim, false));
    let provisioned = plan.provision.iter().map(|claim| (claim, true));
    let mut all = true;
    for (claim, provisioned) in bound.chain(provisioned) {
        let key = Key::of(&**claim);
        let Some(now) = objects.claims.store().get(&key).filter(|now| now.metadata.uid == claim.metadata.uid)
        else {
            return Standing::Lost(format!(
                "persistentvolumeclaim {key} was deleted while it was being bound"
            ));
        };
        let complete =
            !volumes::volume_of(&now).is_empty() && now.annotations().contains_key(volumes::BIND_COMPLETED);
        // A provisioner that cannot make the volume here takes the annotation away; an informer that has not caught up
        // with our own write shows the claim as it was.
        let written = now.metadata.resource_version != claim.metadata.resource_version;
        let selected = now.annotations().get(volumes::SELECTED_NODE).map(String::as_str);
        if provisioned && !complete && written && selected != Some(node) {
            return Standing::Lost(format!(
                "provisioning failed for persistentvolumeclaim {key} on node {node}"
            ));
        }
        all &= complete;
    }
    if all { Standing::Bound } else { Standing::Waiting }
}
