//! `persistentvolumeclaim-protection-controller` and `persistentvolume-protection-controller`: what is in use goes last.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::kube::ResourceExt;
use client::{Change, ErrorExt, Informer, Key, Object, Writer, Writes};
use serde::Serialize;

use crate::common::pods;
use crate::context::Context;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Protects claims until shutdown.
pub(crate) async fn run_claims(context: Context) -> Result<(), anyhow::Error> {
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let pods = context.informers.all::<Pod>();
    let reconciler = Claims { claims: claims.clone(), pods: pods.clone(), writer: context.writer() };
    Controller::new("pvcprotection", reconciler, context.shutdown)
        .watch(&claims, |change| vec![change.key.clone()])
        .watch(&pods, of_pod)
        .run(4)
        .await;
    Ok(())
}

/// Protects volumes until shutdown.
pub(crate) async fn run_volumes(context: Context) -> Result<(), anyhow::Error> {
    let volumes = context.informers.all::<PersistentVolume>();
    let reconciler = Volumes { volumes: volumes.clone(), writer: context.writer() };
    Controller::new("pvprotection", reconciler, context.shutdown)
        .watch(&volumes, |change| vec![change.key.clone()])
        .run(4)
        .await;
    Ok(())
}

/// A pod that ends, or goes, frees its claims.
fn of_pod(change: &Change<Pod>) -> Vec<Key> {
    let frees = change.new.as_ref().is_none_or(|pod| pods::is_terminal(pod));
    let Some(pod) = change.latest().filter(|_| frees) else { return Vec::new() };
    claims_of(pod).into_iter().map(|name| Key::new(&change.key.namespace, name)).collect()
}

/// The claims that a pod uses, those made for its ephemeral volumes among them.
fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(claim), _) => Some(claim.claim_name.clone()),
            (None, Some(_)) => Some(format!("{}-{}", pod.name_any(), volume.name)),
            _ => None,
        })
        .collect()
}

struct Claims {
    claims: Informer<PersistentVolumeClaim>,
    pods: Informer<Pod>,
    writer: Writer<PersistentVolumeClaim>,
}

#[async_trait]
impl Reconciler for Claims {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(claim) = self.claims.store().get(key) else { return Ok(Next::Wait) };
        let uses = |pod: &Arc<Pod>| {
            let bound = !pods::node(pod).is_empty();
            !pods::is_terminal(pod) && bound && claims_of(pod).iter().any(|name| **name == *key.name)
        };
        let in_use = || self.pods.store().list_namespace(&key.namespace).iter().any(uses);
        protect(&*claim, CLAIM_FINALIZER, in_use, &self.writer, writes).await
    }
}

struct Volumes {
    volumes: Informer<PersistentVolume>,
    writer: Writer<PersistentVolume>,
}

#[async_trait]
impl Reconciler for Volumes {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(volume) = self.volumes.store().get(key) else { return Ok(Next::Wait) };
        let in_use = || volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        protect(&*volume, VOLUME_FINALIZER, in_use, &self.writer, writes).await
    }
}

/// Puts the finalizer on what lives, and takes it off what is being deleted and not in use.
async fn protect<K: Object<DynamicType = ()> + Serialize>(
    object: &K,
    finalizer: &str,
    in_use: impl Fn() -> bool,
    writer: &Writer<K>,
    writes: &Writes,
) -> Result<Next, anyhow::Error> {
    let meta = object.meta();
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    let has = finalizers.iter().any(|known| known == finalizer);
    match (meta.deletion_timestamp.is_some(), has) {
        (true, true) if !in_use() => finalizers.retain(|known| known != finalizer),
        (false, false) => finalizers.push(finalizer.to_owned()),
        _ => return Ok(Next::Wait),
    }
    let mut changed = object.clone();
    changed.meta_mut().finalizers = (!finalizers.is_empty()).then_some(finalizers);
    match writer.update(writes, &changed).await {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(Next::Wait),
    }
}
