//! `persistentvolumeclaim-protection-controller`, `persistentvolume-protection-controller` and
//! `volumeattributesclass-protection-controller`: what is in use goes last.

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use api_types::k8s::api::storage::v1::VolumeAttributesClass;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::kube::ResourceExt;
use client::{Change, ErrorExt, Informer, Key, Object, Writer, Writes};
use serde::Serialize;

use crate::common::pods;
use crate::context::Context;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";
const ATTRIBUTES_CLASS_FINALIZER: &str = "kubernetes.io/vac-protection";
/// Index of claims and volumes by the attributes classes that they use.
const ATTRIBUTES_CLASS: &str = "attributes class";

/// Protects claims until shutdown.
pub(crate) async fn run_claims(context: Context) -> Result<(), anyhow::Error> {
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let pods = context.informers.all::<Pod>();
    pods.index(pods::BY_CLAIM, pods::by_claim);
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

/// Protects attributes classes until shutdown.
pub(crate) async fn run_attributes_classes(context: Context) -> Result<(), anyhow::Error> {
    let classes = context.informers.all::<VolumeAttributesClass>();
    let claims = context.informers.all::<PersistentVolumeClaim>();
    claims.index(ATTRIBUTES_CLASS, classes_of_claim);
    let volumes = context.informers.all::<PersistentVolume>();
    volumes.index(ATTRIBUTES_CLASS, class_of_volume);
    let reconciler = AttributesClasses {
        classes: classes.clone(),
        claims: claims.clone(),
        volumes: volumes.clone(),
        writer: context.writer(),
    };
    Controller::new("vacprotection", reconciler, context.shutdown)
        .watch(&classes, |change| vec![change.key.clone()])
        .watch(&claims, |change| freed(change, classes_of_claim))
        .watch(&volumes, |change| freed(change, class_of_volume))
        .run(1)
        .await;
    Ok(())
}

/// A pod that goes frees its claims.
fn of_pod(change: &Change<Pod>) -> Vec<Key> {
    let Some(old) = &change.old else { return Vec::new() };
    let stays = change.new.as_ref().is_some_and(|new| new.metadata.uid == old.metadata.uid);
    if stays {
        return Vec::new();
    }
    pods::claims(old).map(|name| Key::new(&change.key.namespace, name)).collect()
}

/// The classes that an object no longer uses.
fn freed<K>(change: &Change<K>, used: fn(&K) -> Vec<String>) -> Vec<Key> {
    let before = change.old.as_deref().map(used).unwrap_or_default();
    let now = change.new.as_deref().map(used).unwrap_or_default();
    before.into_iter().filter(|class| !now.contains(class)).map(Key::cluster).collect()
}

/// The attributes classes that a claim has, wants, or is changing to.
fn classes_of_claim(claim: &PersistentVolumeClaim) -> Vec<String> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    let status = claim.status.as_ref();
    let present = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let coming = status
        .and_then(|status| status.modify_volume_status.as_ref())
        .and_then(|modify| modify.target_volume_attributes_class_name.clone());
    let mut classes: Vec<String> = [wanted, present, coming].into_iter().flatten().collect();
    classes.sort();
    classes.dedup();
    classes
}

fn class_of_volume(volume: &PersistentVolume) -> Vec<String> {
    volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone()).into_iter().collect()
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
        // A pod that has finished still holds its claim: the kubelet may not have unmounted it yet.
        let in_use = || {
            let users = self.pods.store().by_index(pods::BY_CLAIM, &key.to_string());
            users.iter().any(|pod| !pods::node(pod).is_empty())
        };
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

struct AttributesClasses {
    classes: Informer<VolumeAttributesClass>,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    writer: Writer<VolumeAttributesClass>,
}

#[async_trait]
impl Reconciler for AttributesClasses {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(class) = self.classes.store().get(key) else { return Ok(Next::Wait) };
        let in_use = || {
            !self.claims.store().by_index(ATTRIBUTES_CLASS, &class.name_any()).is_empty()
                || !self.volumes.store().by_index(ATTRIBUTES_CLASS, &class.name_any()).is_empty()
        };
        protect(&*class, ATTRIBUTES_CLASS_FINALIZER, in_use, &self.writer, writes).await
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
