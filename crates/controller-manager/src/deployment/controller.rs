//! Wiring: which changes concern which Deployment, and carrying out its steps.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use api_types::k8s::api::core::v1::Pod;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::ResourceExt;
use client::{Change, ErrorExt, Informer, Key, Writer, Writes, owner, write};
use jiff::Timestamp;

use super::plan::{self, Action, Snapshot};
use super::sets;
use crate::common::claim::{self, OWNER};
use crate::common::{pods, selector};
use crate::context::Context;

const NAME: &str = "deployment-controller";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let deployments = context.informers.all::<Deployment>();
    let replica_sets = context.informers.all::<ReplicaSet>();
    let pods = context.informers.all::<Pod>();
    replica_sets.index(OWNER, claim::by_owner);
    pods.index(OWNER, claim::by_owner);
    let reconciler = Deployments {
        deployments: deployments.clone(),
        replica_sets: replica_sets.clone(),
        pods: pods.clone(),
        writer: context.writer(),
        set_writer: context.writer(),
        recorder: context.recorder(NAME),
    };
    let (all, by_pod) = (deployments.clone(), replica_sets.clone());
    let workers = context.options.tuning.concurrent_deployment_syncs;
    Controller::new(NAME, reconciler, context.shutdown)
        .watch(&deployments, |change| vec![change.key.clone()])
        .watch(&replica_sets, move |change| of_set(change, &all))
        .watch(&pods, move |change| of_pod(change, &by_pod))
        .run(workers)
        .await;
    Ok(())
}

/// Deployments that a change of a ReplicaSet concerns: owners before and after, or all that an orphan matches.
fn of_set(change: &Change<ReplicaSet>, deployments: &Informer<Deployment>) -> Vec<Key> {
    let mut keys = Vec::new();
    for set in change.states() {
        match owner::controller_of(&set.metadata) {
            Some(reference) if reference.kind == "Deployment" => {
                keys.push(Key::new(&change.key.namespace, &reference.name));
            }
            Some(_) => {}
            None => {
                let candidates = deployments.store().list_namespace(&change.key.namespace);
                let matching = candidates.iter().filter(|deployment| {
                    selector::matches(&selector::of(&sets::spec(deployment).selector), &set.metadata)
                });
                keys.extend(matching.map(|deployment| Key::of(&**deployment)));
            }
        }
    }
    keys.dedup();
    keys
}

/// A pod's end lets a Deployment that recreates go on.
fn of_pod(change: &Change<Pod>, replica_sets: &Informer<ReplicaSet>) -> Vec<Key> {
    let ended = change.new.as_ref().is_none_or(|pod| pods::is_terminal(pod));
    let Some(pod) = change.latest().filter(|_| ended) else { return Vec::new() };
    let set = owner::controller_of(&pod.metadata)
        .filter(|reference| reference.kind == "ReplicaSet")
        .and_then(|reference| replica_sets.store().find(&change.key.namespace, &reference.name));
    let reference = set.as_ref().and_then(|set| owner::controller_of(&set.metadata));
    reference.map(|reference| Key::new(&change.key.namespace, &reference.name)).into_iter().collect()
}

struct Deployments {
    deployments: Informer<Deployment>,
    replica_sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    writer: Writer<Deployment>,
    set_writer: Writer<ReplicaSet>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Deployments {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(deployment) = self.deployments.store().get(key) else { return Ok(Next::Wait) };
        if selector::of(&sets::spec(&deployment).selector).is_nothing() {
            return self.selects_all(&deployment, writes).await;
        }
        let snapshot = self.snapshot(&deployment, writes).await?;
        let now = Timestamp::now();
        let step = plan::plan(&snapshot, now);
        for action in step.actions {
            if !self.act(&deployment, action, writes).await? {
                break;
            }
        }
        Ok(step.again_at.map_or(Next::Wait, |at| {
            Next::After(pods::until(at, now).max(std::time::Duration::from_secs(1)))
        }))
    }
}

impl Deployments {
    async fn snapshot(
        &self,
        deployment: &Arc<Deployment>,
        writes: &Writes,
    ) -> Result<Snapshot, anyhow::Error> {
        let uid = deployment.uid().unwrap_or_default();
        let namespace = deployment.namespace().unwrap_or_default();
        let store = self.replica_sets.store();
        let mut candidates = store.by_index(OWNER, &uid);
        candidates.extend(store.by_index(OWNER, &claim::orphans(&namespace)));
        let selector = selector::of(&sets::spec(deployment).selector);
        let claims = claim::claim(&deployment.metadata, &selector, candidates);
        let owned = claim::settle(&**deployment, &self.writer, &self.set_writer, claims, writes).await?;
        let unfinished = |set: &ReplicaSet| {
            let uid = set.uid().unwrap_or_default();
            let count =
                self.pods.store().by_index(OWNER, &uid).iter().filter(|pod| !pods::is_terminal(pod)).count();
            (uid, count)
        };
        let pods: HashMap<String, usize> = owned.iter().map(|set| unfinished(set)).collect();
        let owned = owned.into_iter().map(Arc::unwrap_or_clone).collect();
        Ok(Snapshot { deployment: Deployment::clone(deployment), owned, pods })
    }

    /// Whether the step may go on.
    async fn act(
        &self,
        deployment: &Arc<Deployment>,
        action: Action,
        writes: &Writes,
    ) -> Result<bool, anyhow::Error> {
        match action {
            Action::Create(set) => return self.create(deployment, *set, writes).await,
            Action::Update { set, from } => {
                self.set_writer.update(writes, &set).await?;
                if let Some(from) = from {
                    self.tell_size(deployment, &set, from);
                }
            }
            Action::Delete(set) => {
                let how = write::only(set.metadata.uid.as_deref());
                match self.set_writer.delete(writes, &Key::of(&*set), &how).await {
                    Err(error) if !error.is_not_found() => return Err(error.into()),
                    _ => {}
                }
            }
            Action::RollBack(changed, warning, reason, message) => {
                self.writer.update(writes, &changed).await?;
                let kind = if warning { EventKind::Warning } else { EventKind::Normal };
                self.recorder.event(&**deployment, kind, reason, message);
            }
            Action::Status(status, revision) => {
                self.write_status(deployment, *status, revision, writes).await?
            }
        }
        Ok(true)
    }

    async fn create(
        &self,
        deployment: &Arc<Deployment>,
        set: ReplicaSet,
        writes: &Writes,
    ) -> Result<bool, anyhow::Error> {
        match self.set_writer.create(writes, &set).await {
            Ok(_) => {
                if sets::replicas(&set) > 0 {
                    self.tell_size(deployment, &set, 0);
                }
                Ok(true)
            }
            Err(error) if error.is_already_exists() => {
                let theirs = self.set_writer.get(&Key::of(&set)).await?;
                if owner::is_controlled_by(&theirs.metadata, &**deployment) {
                    // Our own, only not in the cache yet, unless a different template has the same hash.
                    let same = sets::Sets::of(deployment, vec![theirs.clone()]).new.is_some();
                    if same {
                        writes.wrote(&self.replica_sets, &theirs);
                        return Ok(false);
                    }
                }
                let mut status = deployment.status.clone().unwrap_or_default();
                status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                self.write_status(deployment, status, None, writes).await?;
                Ok(false)
            }
            Err(error) if error.is_namespace_terminating() => Ok(false),
            Err(error) => {
                let message = format!("Failed to create new replica set {:?}: {error}", set.name_any());
                self.recorder.event(&**deployment, EventKind::Warning, "ReplicaSetCreateError", message);
                Err(error.into())
            }
        }
    }

    fn tell_size(&self, deployment: &Arc<Deployment>, set: &ReplicaSet, from: i32) {
        let to = sets::replicas(set);
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.name_any());
        self.recorder.event(&**deployment, EventKind::Normal, "ScalingReplicaSet", message);
    }

    /// The revision annotation travels with the status: a write to the Deployment itself would count as a new generation.
    async fn write_status(
        &self,
        deployment: &Arc<Deployment>,
        status: DeploymentStatus,
        revision: Option<String>,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let mut changed = Deployment::clone(deployment);
        changed.status = Some(status);
        if let Some(revision) = revision {
            changed.metadata.annotations.get_or_insert_default().insert(sets::REVISION.to_owned(), revision);
        }
        self.writer.update_status(writes, &changed).await?;
        Ok(())
    }

    async fn selects_all(
        &self,
        deployment: &Arc<Deployment>,
        writes: &Writes,
    ) -> Result<Next, anyhow::Error> {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.recorder.event(&**deployment, EventKind::Warning, "SelectingAll", message);
        let mut status = deployment.status.clone().unwrap_or_default();
        if status.observed_generation < deployment.metadata.generation {
            status.observed_generation = deployment.metadata.generation;
            self.write_status(deployment, status, None, writes).await?;
        }
        Ok(Next::Wait)
    }
}
