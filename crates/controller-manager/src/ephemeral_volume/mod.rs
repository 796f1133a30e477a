//! `ephemeral-volume-controller`: makes the claims of generic ephemeral volumes (KEP-1698). The pod owns them, so the
//! garbage collector takes them away.

use api_types::k8s::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind, Recorder};
use client::{Change, ErrorExt, Informer, Key, Writer, Writes, owner};

use crate::common::pods;
use crate::context::Context;

const NAME: &str = "ephemeral_volume";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let pods = context.informers.all::<Pod>();
    pods.index(pods::BY_CLAIM, pods::by_claim);
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let reconciler = Volumes {
        pods: pods.clone(),
        claims: claims.clone(),
        writer: context.writer(),
        recorder: context.recorder(NAME),
    };
    let users = pods.clone();
    let workers = context.options.volumes.concurrent_ephemeralvolume_syncs;
    Controller::new(NAME, reconciler, context.shutdown)
        .watch(&pods, of_pod)
        .watch(&claims, move |change| of_claim(change, &users))
        .run(workers)
        .await;
    Ok(())
}

fn of_pod(change: &Change<Pod>) -> Vec<Key> {
    // What has claims keeps them; a pod's volumes never change.
    let known = |pod: &Pod| change.old.as_ref().is_some_and(|old| old.metadata.uid == pod.metadata.uid);
    let wants = change.new.as_ref().is_some_and(|pod| !known(pod) && ephemeral(pod).next().is_some());
    if wants { vec![change.key.clone()] } else { Vec::new() }
}

/// A claim that goes is made again for a pod that needs it.
fn of_claim(change: &Change<PersistentVolumeClaim>, pods: &Informer<Pod>) -> Vec<Key> {
    if change.new.is_some() {
        return Vec::new();
    }
    let users = pods.store().by_index(pods::BY_CLAIM, &change.key.to_string());
    users.iter().filter(|pod| ephemeral(pod).next().is_some()).map(|pod| Key::of(&**pod)).collect()
}

fn ephemeral(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter(|volume| volume.ephemeral.is_some())
}

struct Volumes {
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    writer: Writer<PersistentVolumeClaim>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Volumes {
    /// A pod.
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(pod) = self.pods.store().get(key) else { return Ok(Next::Wait) };
        if pod.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Wait);
        }
        for volume in ephemeral(&pod) {
            if let Err(error) = self.provide(&pod, volume, writes).await {
                let message = format!("ephemeral volume {}: {error}", volume.name);
                self.recorder.event(&*pod, Kind::Warning, "FailedBinding", message);
                return Err(error);
            }
        }
        Ok(Next::Wait)
    }
}

impl Volumes {
    /// Makes the claim of a volume unless it exists.
    async fn provide(&self, pod: &Pod, volume: &Volume, writes: &Writes) -> Result<(), anyhow::Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pods::ephemeral_claim(pod, &volume.name);
        if let Some(claim) = self.claims.store().find(namespace, &name) {
            if owner::is_controlled_by(&claim.metadata, pod) {
                return Ok(());
            }
            anyhow::bail!(
                "PVC {namespace}/{name} was not created for pod {} (pod is not owner)",
                Key::of(pod)
            );
        }
        let Some(template) =
            volume.ephemeral.as_ref().and_then(|source| source.volume_claim_template.as_ref())
        else {
            return Ok(());
        };
        let meta = template.metadata.clone().unwrap_or_default();
        let claim = PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                labels: meta.labels,
                annotations: meta.annotations,
                owner_references: Some(vec![owner::controller_ref(pod)]),
                ..ObjectMeta::default()
            },
            spec: Some(template.spec.clone()),
            status: None,
        };
        match self.writer.create(writes, &claim).await {
            Err(error) if error.is_namespace_terminating() => Ok(()),
            Err(error) => Err(anyhow::anyhow!("create PVC {name}: {error}")),
            Ok(_) => Ok(()),
        }
    }
}
