//! Wiring of Jobs.

use std::sync::Arc;

use api_types::k8s::api::batch::v1::{Job, JobStatus};
use api_types::k8s::api::core::v1::Pod;
use api_types::selector::Selector;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::ResourceExt;
use client::{Change, Error, ErrorExt, Informer, Key, Patch, Writer, Writes, owner, write};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use super::plan::{self, NewPod, Snapshot};
use super::template::{self, FINALIZER};
use crate::common::claim::{self, OWNER};
use crate::common::{pods, selector};
use crate::context::Context;

const NAME: &str = "job-controller";
/// The value of `managedBy` that means this controller.
const OURS: &str = "kubernetes.io/job-controller";
/// Pods created in one step at most.
const BURST: usize = 500;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let jobs = context.informers.all::<Job>();
    let pods = context.informers.all::<Pod>();
    pods.index(OWNER, claim::by_owner);
    let reconciler = Jobs {
        jobs: jobs.clone(),
        pods: pods.clone(),
        writer: context.writer(),
        pod_writer: context.writer(),
        recorder: context.recorder(NAME),
    };
    let all = jobs.clone();
    let workers = context.options.tuning.concurrent_job_syncs;
    Controller::new("job", reconciler, context.shutdown)
        .watch(&jobs, |change| vec![change.key.clone()])
        .watch(&pods, move |change| of_pod(change, &all))
        .run(workers)
        .await;
    Ok(())
}

fn of_pod(change: &Change<Pod>, jobs: &Informer<Job>) -> Vec<Key> {
    let mut keys = Vec::new();
    for pod in change.states() {
        match owner::controller_of(&pod.metadata) {
            Some(reference) if reference.kind == "Job" => {
                keys.push(Key::new(&change.key.namespace, &reference.name))
            }
            Some(_) => {}
            None => {
                let candidates = jobs.store().list_namespace(&change.key.namespace);
                let matching =
                    candidates.iter().filter(|job| selector::matches(&selector_of(job), &pod.metadata));
                keys.extend(matching.map(|job| Key::of(&**job)));
            }
        }
    }
    keys.dedup();
    keys
}

fn selector_of(job: &Job) -> Selector {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.map_or_else(Selector::nothing, selector::of)
}

struct Jobs {
    jobs: Informer<Job>,
    pods: Informer<Pod>,
    writer: Writer<Job>,
    pod_writer: Writer<Pod>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Jobs {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(job) = self.jobs.store().get(key) else {
            self.free_orphans(key, writes).await?;
            return Ok(Next::Wait);
        };
        let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
        if manager.is_some_and(|manager| manager != OURS) {
            return Ok(Next::Wait);
        }
        let pods = self.owned(&job, writes).await?;
        if plan::is_finished(&job) || job.metadata.deletion_timestamp.is_some() {
            self.release(&pods, writes).await?;
            return Ok(Next::Wait);
        }
        let snapshot = Snapshot { job, pods };
        let now = Timestamp::now();
        let step = plan::plan(&snapshot, now);
        let mut status = step.status;
        let mut failed = None;
        for pod in &step.drop {
            // Without its finalizer first, the pod's end would be counted as a failure.
            self.release(std::slice::from_ref(pod), writes).await?;
            self.delete(&snapshot.job, pod, writes).await?;
        }
        for pod in &step.delete {
            self.delete(&snapshot.job, pod, writes).await?;
        }
        if let Err((created, error)) = self.create(&snapshot.job, &step.create, writes).await {
            let missing = i32::try_from(step.create.len() - created).unwrap_or(0);
            status.active = status.active.map(|active| active - missing).filter(|active| *active > 0);
            failed = Some(error);
        }
        self.write_status(&snapshot.job, status, writes).await?;
        self.release(&step.release, writes).await?;
        for note in step.notes {
            let kind = if note.warning { EventKind::Warning } else { EventKind::Normal };
            self.recorder.event(&*snapshot.job, kind, &note.reason, note.message);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(step.again_at.map_or(Next::Wait, |at| Next::After(pods::until(at, now))))
    }
}

impl Jobs {
    async fn owned(&self, job: &Arc<Job>, writes: &Writes) -> Result<Vec<Arc<Pod>>, Error> {
        let store = self.pods.store();
        let mut candidates = store.by_index(OWNER, &job.uid().unwrap_or_default());
        candidates.extend(store.by_index(OWNER, &claim::orphans(&job.namespace().unwrap_or_default())));
        let claims = claim::claim(&job.metadata, &selector_of(job), candidates);
        claim::settle(&**job, &self.writer, &self.pod_writer, claims, writes).await
    }

    /// Pods of a Job that is gone must not be held by its finalizer.
    async fn free_orphans(&self, key: &Key, writes: &Writes) -> Result<(), Error> {
        let left: Vec<Arc<Pod>> = self
            .pods
            .store()
            .list_namespace(&key.namespace)
            .into_iter()
            .filter(|pod| template::is_tracked(pod))
            .filter(|pod| {
                let owner = owner::controller_of(&pod.metadata);
                owner.is_some_and(|owner| owner.kind == "Job" && owner.name == *key.name)
            })
            .collect();
        self.release(&left, writes).await
    }

    /// Takes the finalizer off pods.
    async fn release(&self, pods: &[Arc<Pod>], writes: &Writes) -> Result<(), Error> {
        let tracked = pods.iter().filter(|pod| template::is_tracked(pod));
        let results = join_all(tracked.map(|pod| async move {
            let kept: Vec<&String> =
                pod.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).collect();
            let patch = Patch::Merge(json!({
                "metadata": { "uid": pod.metadata.uid, "finalizers": (!kept.is_empty()).then_some(kept) },
            }));
            self.pod_writer.patch(writes, &Key::of(&**pod), &patch).await
        }))
        .await;
        for result in results {
            match result {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn delete(&self, job: &Job, pod: &Pod, writes: &Writes) -> Result<(), Error> {
        match self.pod_writer.delete(writes, &Key::of(pod), &write::only(pod.metadata.uid.as_deref())).await {
            Ok(()) => {
                let message = format!("Deleted pod: {}", pod.name_any());
                self.recorder.event(job, EventKind::Normal, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => {
                let message = format!("Error deleting: {error}");
                self.recorder.event(job, EventKind::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }

    /// Creates in batches that double; a failure ends it, with the number created so far.
    async fn create(
        &self,
        job: &Job,
        wanted: &[NewPod],
        writes: &Writes,
    ) -> Result<(), (usize, anyhow::Error)> {
        let mut left = &wanted[..wanted.len().min(BURST)];
        let (mut batch, mut created) = (1, 0);
        while !left.is_empty() {
            let (now, later) = left.split_at(batch.min(left.len()));
            let results = join_all(now.iter().map(|new| async move {
                let pod = template::pod(job, new.index, new.failures);
                self.pod_writer.create(writes, &pod).await
            }))
            .await;
            for result in results {
                match result {
                    Ok(pod) => {
                        created += 1;
                        let message = format!("Created pod: {}", pod.name_any());
                        self.recorder.event(job, EventKind::Normal, "SuccessfulCreate", message);
                    }
                    Err(error) if error.is_namespace_terminating() => return Ok(()),
                    Err(error) => {
                        let message = format!("Error creating: {error}");
                        self.recorder.event(job, EventKind::Warning, "FailedCreate", message);
                        return Err((created, error.into()));
                    }
                }
            }
            (left, batch) = (later, batch * 2);
        }
        Ok(())
    }

    async fn write_status(&self, job: &Arc<Job>, status: JobStatus, writes: &Writes) -> Result<(), Error> {
        if job.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = Job::clone(job);
        changed.status = Some(status);
        match self.writer.update_status(writes, &changed).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
