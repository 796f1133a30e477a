//! Wiring: who wakes whom, and how steps are carried out.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use api_types::k8s::api::storage::v1::StorageClass;
use api_types::volumes;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind, Recorder};
use client::kube::ResourceExt;
use client::{Change, ErrorExt, Informer, Key, Writer, Writes, write};

use super::{Note, bind, claim, volume};
use crate::common::pods;
use crate::context::Context;

const NAME: &str = "persistentvolume-controller";
/// Index of claims and volumes by class; of claims, only those that are not bound.
const CLASS: &str = "class";
/// Index of claims by the volume they name, and of volumes by the claim they are kept for.
const PARTNER: &str = "partner";
/// How a claim names its provisioner, old and new.
const PROVISIONER: [&str; 2] =
    ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    Claim(Key),
    Volume(Key),
}

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let tuning = &context.options.volumes;
    let claims = context.informers.all::<PersistentVolumeClaim>();
    claims.index(CLASS, unbound_by_class).index(PARTNER, |claim| vec![volumes::volume_of(claim).to_owned()]);
    let volumes = context.informers.all::<PersistentVolume>();
    volumes.index(CLASS, |volume| vec![volumes::class_of_volume(volume).to_owned()]).index(PARTNER, kept_for);
    let pods = context.informers.all::<Pod>();
    pods.index(pods::BY_CLAIM, pods::by_claim);
    let classes = context.informers.all::<StorageClass>();
    let binder = Binder {
        claims: claims.clone(),
        volumes: volumes.clone(),
        classes: classes.clone(),
        pods: pods.clone(),
        claim_writer: context.writer(),
        volume_writer: context.writer(),
        recorder: context.recorder(NAME),
        provisioning: tuning.enable_dynamic_provisioning,
        period: tuning.pvclaimbinder_sync_period.0,
    };
    let (a, b, c) = (volumes.clone(), claims.clone(), claims.clone());
    Controller::new(NAME, binder, context.shutdown)
        .watch(&claims, move |change| of_claim(change, &a))
        .watch(&volumes, move |change| of_volume(change, &b))
        .watch(&classes, move |change| waiting(&c, &change.key.name))
        .after(&pods)
        .run(1)
        .await;
    Ok(())
}

fn unbound_by_class(claim: &PersistentVolumeClaim) -> Vec<String> {
    let bound = claim.annotations().contains_key(volumes::BIND_COMPLETED);
    if bound { Vec::new() } else { vec![volumes::class_of_claim(claim).to_owned()] }
}

fn kept_for(volume: &PersistentVolume) -> Vec<String> {
    volumes::claim_of(volume).map(|(namespace, name)| format!("{namespace}/{name}")).into_iter().collect()
}

/// A claim, and the volumes that point at it.
fn of_claim(change: &Change<PersistentVolumeClaim>, volumes: &Informer<PersistentVolume>) -> Vec<Target> {
    let mut targets = vec![Target::Claim(change.key.clone())];
    let kept = volumes.store().by_index(PARTNER, &change.key.to_string());
    targets.extend(kept.iter().map(|volume| Target::Volume(Key::of(&**volume))));
    targets
}

/// A volume, the claims that point at it, and those that it could serve.
fn of_volume(change: &Change<PersistentVolume>, claims: &Informer<PersistentVolumeClaim>) -> Vec<Target> {
    let mut targets = vec![Target::Volume(change.key.clone())];
    let named = claims.store().by_index(PARTNER, &change.key.name);
    targets.extend(named.iter().map(|claim| Target::Claim(Key::of(&**claim))));
    let Some(volume) = &change.new else { return targets };
    match volumes::claim_of(volume) {
        Some((namespace, name)) => targets.push(Target::Claim(Key::new(namespace, name))),
        None => targets.extend(waiting(claims, volumes::class_of_volume(volume))),
    }
    targets
}

/// The claims of a class that are not bound.
fn waiting(claims: &Informer<PersistentVolumeClaim>, class: &str) -> Vec<Target> {
    claims.store().by_index(CLASS, class).iter().map(|claim| Target::Claim(Key::of(&**claim))).collect()
}

struct Binder {
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
    pods: Informer<Pod>,
    claim_writer: Writer<PersistentVolumeClaim>,
    volume_writer: Writer<PersistentVolume>,
    recorder: Recorder,
    provisioning: bool,
    /// How often what waits is looked at again.
    period: Duration,
}

#[async_trait]
impl Reconciler for Binder {
    type Key = Target;

    async fn reconcile(&self, target: &Target, writes: &Writes) -> Result<Next, anyhow::Error> {
        let done = match target {
            Target::Claim(key) => match self.claims.store().get(key) {
                Some(claim) => self.claim(&claim, writes).await,
                None => Ok(Next::Wait),
            },
            Target::Volume(key) => match self.volumes.store().get(key) {
                Some(volume) => self.volume(&volume, writes).await,
                None => Ok(Next::Wait),
            },
        };
        match done {
            // What is gone needs nothing.
            Err(error) if error.is_not_found() => Ok(Next::Wait),
            done => done.map_err(Into::into),
        }
    }
}

impl Binder {
    async fn claim(
        &self,
        claim: &Arc<PersistentVolumeClaim>,
        writes: &Writes,
    ) -> Result<Next, client::Error> {
        if claim.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Wait);
        }
        match claim::plan(claim, &self.view(claim)) {
            claim::Step::Bind(volume) => {
                self.bind(&volume, claim, writes).await?;
                return Ok(Next::Wait);
            }
            claim::Step::Pend(note) => {
                self.tell(&**claim, note.as_ref());
                self.show_claim(claim, "Pending", writes).await?;
            }
            claim::Step::Ask { provisioner, note } => {
                self.ask(claim, &provisioner, writes).await?;
                self.tell(&**claim, Some(&note));
            }
            claim::Step::Lose(note) => {
                if self.show_claim(claim, "Lost", writes).await? {
                    self.tell(&**claim, Some(&note));
                }
                return Ok(Next::Wait);
            }
        }
        Ok(Next::After(self.period))
    }

    fn view(&self, claim: &PersistentVolumeClaim) -> claim::View {
        let volumes = self.volumes.store();
        let key = Key::of(claim);
        let class = volumes::class_of_claim(claim);
        let mut candidates = volumes.by_index(PARTNER, &key.to_string());
        candidates.extend(volumes.by_index(CLASS, class));
        let pods = self.pods.store().by_index(pods::BY_CLAIM, &key.to_string());
        let waiting = pods.iter().filter(|pod| pods::node(pod).is_empty() && pods::is_active(pod));
        claim::View {
            named: volumes.find("", volumes::volume_of(claim)),
            candidates,
            class: self.classes.store().find("", class),
            waiting_pods: waiting.map(|pod| pod.name_any()).collect(),
            provisioning: self.provisioning,
        }
    }

    /// The four writes of a binding, those that are done left out.
    async fn bind(
        &self,
        volume: &PersistentVolume,
        claim: &PersistentVolumeClaim,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let volume = match bind::volume(volume, claim) {
            Some(bound) => self.volume_writer.update(writes, &bound).await?,
            None => volume.clone(),
        };
        let volume = self.show_volume(volume, "Bound", None, writes).await?;
        let mut claim = match bind::claim(claim, &volume) {
            Some(bound) => self.claim_writer.update(writes, &bound).await?,
            None => claim.clone(),
        };
        let status = bind::claim_status(&claim, &volume);
        if claim.status.as_ref() != Some(&status) {
            claim.status = Some(status);
            self.claim_writer.update_status(writes, &claim).await?;
        }
        Ok(())
    }

    /// Names the provisioner on the claim.
    async fn ask(
        &self,
        claim: &PersistentVolumeClaim,
        provisioner: &str,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let named = |name: &&str| claim.annotations().get(*name).map(String::as_str) == Some(provisioner);
        if PROVISIONER.iter().all(named) {
            return Ok(());
        }
        let mut asking = claim.clone();
        for name in PROVISIONER {
            asking.annotations_mut().insert(name.to_owned(), provisioner.to_owned());
        }
        self.claim_writer.update(writes, &asking).await.map(drop)
    }

    /// Shows a phase without a volume; whether that is news.
    async fn show_claim(
        &self,
        claim: &PersistentVolumeClaim,
        phase: &str,
        writes: &Writes,
    ) -> Result<bool, client::Error> {
        let status = bind::bare_claim_status(claim, phase);
        if claim.status.as_ref() == Some(&status) {
            return Ok(false);
        }
        let mut shown = claim.clone();
        shown.status = Some(status);
        self.claim_writer.update_status(writes, &shown).await?;
        Ok(true)
    }

    async fn volume(&self, volume: &Arc<PersistentVolume>, writes: &Writes) -> Result<Next, client::Error> {
        let claim = self.claim_of(volume).await?;
        match volume::plan(volume, claim.as_deref()) {
            volume::Step::Show(phase) => {
                self.show_volume(PersistentVolume::clone(volume), phase, None, writes).await?;
            }
            // Every change of a volume wakes its claim too.
            volume::Step::Wake => {}
            volume::Step::Refuse(note) => {
                self.tell(&**volume, Some(&note));
                if let Some(claim) = &claim {
                    self.tell(&**claim, Some(&note));
                }
            }
            volume::Step::Free => {
                let free = self.volume_writer.update(writes, &bind::unbound(volume)).await?;
                self.show_volume(free, "Available", None, writes).await?;
            }
            volume::Step::Release(reclaim) => return self.release(volume, reclaim, writes).await,
        }
        Ok(Next::Wait)
    }

    /// The claim that a volume's reference names, uid included. The server is asked before one is taken for gone.
    async fn claim_of(
        &self,
        volume: &PersistentVolume,
    ) -> Result<Option<Arc<PersistentVolumeClaim>>, client::Error> {
        let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else {
            return Ok(None);
        };
        let Some(uid) = reference.uid.as_deref().filter(|uid| !uid.is_empty()) else { return Ok(None) };
        let Some(key) = volumes::claim_of(volume).map(|(namespace, name)| Key::new(namespace, name)) else {
            return Ok(None);
        };
        let same = |claim: &PersistentVolumeClaim| claim.metadata.uid.as_deref() == Some(uid);
        if let Some(claim) = self.claims.store().get(&key).filter(|claim| same(claim)) {
            return Ok(Some(claim));
        }
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Released" | "Failed")) {
            return Ok(None);
        }
        match self.claim_writer.get(&key).await {
            Ok(claim) => Ok(Some(Arc::new(claim)).filter(|claim| same(claim))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn release(
        &self,
        volume: &PersistentVolume,
        reclaim: volume::Reclaim,
        writes: &Writes,
    ) -> Result<Next, client::Error> {
        let failed = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
        let volume = match failed {
            true => volume.clone(),
            false => self.show_volume(volume.clone(), "Released", None, writes).await?,
        };
        let note = match reclaim {
            volume::Reclaim::Keep => return Ok(Next::Wait),
            volume::Reclaim::Fail(note) => note,
            volume::Reclaim::Delete(path) => match tokio::fs::remove_dir_all(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Note::warning("VolumeFailedDelete", format!("cannot remove {}: {error}", path.display()))
                }
                _ => {
                    let how = write::only(volume.metadata.uid.as_deref());
                    self.volume_writer.delete(writes, &Key::of(&volume), &how).await?;
                    return Ok(Next::Wait);
                }
            },
        };
        if !failed {
            self.show_volume(volume, "Failed", Some(&note), writes).await?;
        }
        Ok(Next::After(self.period))
    }

    /// Shows a phase, and tells of it if that is news.
    async fn show_volume(
        &self,
        mut volume: PersistentVolume,
        phase: &str,
        note: Option<&Note>,
        writes: &Writes,
    ) -> Result<PersistentVolume, client::Error> {
        let message = note.map(|note| note.message.as_str());
        let Some(status) = bind::volume_status(&volume, phase, message) else { return Ok(volume) };
        volume.status = Some(status);
        let shown = self.volume_writer.update_status(writes, &volume).await?;
        self.tell(&shown, note);
        Ok(shown)
    }

    fn tell<K: client::Resource<DynamicType = ()>>(&self, object: &K, note: Option<&Note>) {
        if let Some(Note { kind, reason, message }) = note {
            let kind: Kind = *kind;
            self.recorder.event(object, kind, reason, message.clone());
        }
    }
}
