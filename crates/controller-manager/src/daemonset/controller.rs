//! Wiring of DaemonSets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::apps::v1::{ControllerRevision, DaemonSet};
use api_types::k8s::api::core::v1::{Node, Pod};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::ResourceExt;
use client::{Change, Error, ErrorExt, Informer, Key, Writer, Writes, owner, write};
use futures::future::join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::plan::{self, Plan, Snapshot};
use super::template;
use crate::common::claim::{self, OWNER};
use crate::common::history::{self, Owner};
use crate::common::{pods, scheduling, selector};
use crate::context::Context;

const NAME: &str = "daemonset-controller";
/// Pods created or deleted in one reconciliation at most.
const BURST: usize = 250;
const REPLACE_MIN: Duration = Duration::from_secs(1);
const REPLACE_MAX: Duration = Duration::from_secs(15 * 60);

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let sets = context.informers.all::<DaemonSet>();
    let pods = context.informers.all::<Pod>();
    let nodes = context.informers.all::<Node>();
    let revisions = context.informers.all::<ControllerRevision>();
    pods.index(OWNER, claim::by_owner);
    revisions.index(OWNER, claim::by_owner);
    let reconciler = Daemons {
        sets: sets.clone(),
        pods: pods.clone(),
        nodes: nodes.clone(),
        revisions: revisions.clone(),
        writer: context.writer(),
        pod_writer: context.writer(),
        revision_writer: context.writer(),
        recorder: context.recorder(NAME),
        replaced: Mutex::default(),
    };
    let (by_pod, by_node) = (sets.clone(), sets.clone());
    let workers = context.options.tuning.concurrent_daemonset_syncs;
    Controller::new("daemonset", reconciler, context.shutdown)
        .watch(&sets, |change| vec![change.key.clone()])
        .watch(&pods, move |change| claim::concerned(change, &by_pod, selector_of))
        .watch(&nodes, move |change| of_node(change, &by_node))
        .after(&revisions)
        .run(workers)
        .await;
    Ok(())
}

/// A node concerns the sets that want it differently than before; its heartbeats concern none.
fn of_node(change: &Change<Node>, sets: &Informer<DaemonSet>) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.metadata.labels == new.metadata.labels
        && scheduling::taints(old) == scheduling::taints(new)
    {
        return Vec::new();
    }
    let wanted = |node: &Option<Arc<Node>>, set: &DaemonSet| node.as_ref().map(|node| plan::wants(set, node));
    let all = sets.store().list();
    let differing = all.iter().filter(|set| wanted(&change.old, set) != wanted(&change.new, set));
    differing.map(|set| Key::of(&**set)).collect()
}

fn selector_of(set: &DaemonSet) -> api_types::selector::Selector {
    set.spec.as_ref().map_or_else(api_types::selector::Selector::nothing, |spec| selector::of(&spec.selector))
}

struct Daemons {
    sets: Informer<DaemonSet>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    revisions: Informer<ControllerRevision>,
    writer: Writer<DaemonSet>,
    pod_writer: Writer<Pod>,
    revision_writer: Writer<ControllerRevision>,
    recorder: Recorder,
    /// When a finished pod of a set on a node was last replaced, and how long the next one has to wait.
    replaced: Mutex<HashMap<(String, String), (Instant, Duration)>>,
}

#[async_trait]
impl Reconciler for Daemons {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(set) = self.sets.store().get(key) else { return Ok(Next::Wait) };
        if selector_of(&set).is_nothing() {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.recorder.event(&*set, EventKind::Warning, "SelectingAll", message);
            return Ok(Next::Wait);
        }
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Wait);
        }
        let pods = self.owned(&set, writes).await?;
        let history = self.history(&set, writes).await?;
        let Some(current) = self.current(&set, &history, writes).await? else { return Ok(Next::Wait) };
        let snapshot =
            Snapshot { hash: history::hash_of(&current), nodes: self.nodes.store().list(), set, pods };
        let now = Timestamp::now();
        let plan = plan::plan(&snapshot, now);
        let (waiting, failed) = self.act(&snapshot, plan, writes).await;
        self.write_status(&snapshot, now, writes).await?;
        self.clean(&snapshot, &history, writes).await?;
        if let Some(error) = failed {
            return Err(error);
        }
        let available = plan::next_available(&snapshot, now).map(|at| pods::until(at, now));
        Ok([available, waiting].into_iter().flatten().min().map_or(Next::Wait, Next::After))
    }
}

impl Daemons {
    async fn owned(&self, set: &Arc<DaemonSet>, writes: &Writes) -> Result<Vec<Arc<Pod>>, Error> {
        let store = self.pods.store();
        let mut candidates = store.by_index(OWNER, &set.uid().unwrap_or_default());
        candidates.extend(store.by_index(OWNER, &claim::orphans(&set.namespace().unwrap_or_default())));
        let claims = claim::claim(&set.metadata, &selector_of(set), candidates);
        claim::settle(&**set, &self.writer, &self.pod_writer, claims, writes).await
    }

    async fn history(
        &self,
        set: &Arc<DaemonSet>,
        writes: &Writes,
    ) -> Result<Vec<Arc<ControllerRevision>>, Error> {
        let store = self.revisions.store();
        let mut candidates = store.by_index(OWNER, &set.uid().unwrap_or_default());
        candidates.extend(store.by_index(OWNER, &claim::orphans(&set.namespace().unwrap_or_default())));
        let claims = claim::claim(&set.metadata, &selector_of(set), candidates);
        claim::settle(&**set, &self.writer, &self.revision_writer, claims, writes).await
    }

    /// The revision of the present template; `None` after a collision, which the set's status now counts.
    async fn current(
        &self,
        set: &Arc<DaemonSet>,
        history: &[Arc<ControllerRevision>],
        writes: &Writes,
    ) -> Result<Option<Arc<ControllerRevision>>, Error> {
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let owner = Owner {
            meta: &set.metadata,
            reference: owner::controller_ref(&**set),
            collisions,
            hash_label: history::HASH_LABEL,
        };
        let template = set.spec.clone().unwrap_or_default().template;
        let action = history::current(&owner, &template, history);
        let settled = history::settle(action, &self.revision_writer, writes).await?;
        if settled.is_none() {
            let mut changed = DaemonSet::clone(set);
            changed.status.get_or_insert_default().collision_count = Some(collisions + 1);
            self.writer.update_status(writes, &changed).await?;
        }
        Ok(settled)
    }

    /// Carries the plan out; gives how long finished pods still have to wait, and the first failure.
    async fn act(
        &self,
        snapshot: &Snapshot,
        plan: Plan,
        writes: &Writes,
    ) -> (Option<Duration>, Option<anyhow::Error>) {
        let mut waiting = None;
        let mut delete = plan.delete;
        for (node, pod) in plan.replace {
            match self.turn(&snapshot.set, &node) {
                Ok(()) => {
                    let (reason, word, kind) = match pods::phase(&pod) {
                        "Failed" => ("FailedDaemonPod", "failed", EventKind::Warning),
                        _ => ("SucceededDaemonPod", "succeeded", EventKind::Normal),
                    };
                    let message = format!(
                        "Found {word} daemon pod {} on node {node}, will try to delete it",
                        Key::of(&*pod)
                    );
                    self.recorder.event(&*snapshot.set, kind, reason, message);
                    delete.push(pod);
                }
                Err(wait) => waiting = Some(waiting.map_or(wait, |known: Duration| known.min(wait))),
            }
        }
        let mut failed = None;
        let mut left = plan.create.as_slice();
        let mut batch = 1;
        left = &left[..left.len().min(BURST)];
        while !left.is_empty() && failed.is_none() {
            let (now, later) = left.split_at(batch.min(left.len()));
            let results = join_all(now.iter().map(|node| self.create(snapshot, node, writes))).await;
            failed = results.into_iter().find_map(Result::err);
            (left, batch) = (later, batch * 2);
        }
        let results = join_all(delete.iter().take(BURST).map(|pod| self.delete(snapshot, pod, writes))).await;
        (waiting, results.into_iter().find_map(Result::err).or(failed))
    }

    /// Whether a finished pod on a node may be replaced now.
    fn turn(&self, set: &DaemonSet, node: &str) -> Result<(), Duration> {
        let key = (set.uid().unwrap_or_default(), node.to_owned());
        let now = Instant::now();
        let mut replaced = self.replaced.lock();
        replaced.retain(|_, (at, pause)| now - *at < *pause * 2 + REPLACE_MAX);
        let (at, pause) = match replaced.get(&key) {
            None => (now, REPLACE_MIN),
            Some((at, pause)) if now - *at < *pause => return Err(*at + *pause - now),
            // Quiet for twice the pause: the trouble is over.
            Some((at, pause)) if now - *at > *pause * 2 => (now, REPLACE_MIN),
            Some((_, pause)) => (now, (*pause * 2).min(REPLACE_MAX)),
        };
        replaced.insert(key, (at, pause));
        Ok(())
    }

    async fn create(&self, snapshot: &Snapshot, node: &str, writes: &Writes) -> Result<(), anyhow::Error> {
        let pod = template::pod(&snapshot.set, &snapshot.hash, node);
        match self.pod_writer.create(writes, &pod).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name_any());
                self.recorder.event(&*snapshot.set, EventKind::Normal, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) if error.is_namespace_terminating() => Ok(()),
            Err(error) => {
                let message = format!("Error creating: {error}");
                self.recorder.event(&*snapshot.set, EventKind::Warning, "FailedCreate", message);
                Err(error.into())
            }
        }
    }

    async fn delete(&self, snapshot: &Snapshot, pod: &Pod, writes: &Writes) -> Result<(), anyhow::Error> {
        match self.pod_writer.delete(writes, &Key::of(pod), &write::only(pod.metadata.uid.as_deref())).await {
            Ok(()) => {
                let message = format!("Deleted pod: {}", pod.name_any());
                self.recorder.event(&*snapshot.set, EventKind::Normal, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => {
                let message = format!("Error deleting: {error}");
                self.recorder.event(&*snapshot.set, EventKind::Warning, "FailedDelete", message);
                Err(error.into())
            }
        }
    }

    async fn write_status(&self, snapshot: &Snapshot, now: Timestamp, writes: &Writes) -> Result<(), Error> {
        let status = plan::status(snapshot, now);
        if snapshot.set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = DaemonSet::clone(&snapshot.set);
        changed.status = Some(status);
        match self.writer.update_status(writes, &changed).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn clean(
        &self,
        snapshot: &Snapshot,
        history: &[Arc<ControllerRevision>],
        writes: &Writes,
    ) -> Result<(), Error> {
        let limit = snapshot.set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let hash = |pod: &Arc<Pod>| selector::labels(&pod.metadata).get(history::HASH_LABEL).cloned();
        let mut live: Vec<String> = snapshot.pods.iter().filter_map(hash).collect();
        live.push(snapshot.hash.clone());
        let expendable = history::expendable(history, &live, usize::try_from(limit).unwrap_or(0));
        history::truncate(expendable, &self.revision_writer, writes).await
    }
}
