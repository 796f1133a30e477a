//! Wiring of CronJobs.

use std::sync::Arc;

use api_types::k8s::api::batch::v1::{CronJob, Job};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::ResourceExt;
use client::{DeleteParams, Error, ErrorExt, Informer, Key, PropagationPolicy, Writer, Writes, owner, write};
use jiff::Timestamp;

use super::plan::{self, Snapshot};
use crate::common::claim::{self, OWNER};
use crate::common::pods;
use crate::context::Context;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let crons = context.informers.all::<CronJob>();
    let jobs = context.informers.all::<Job>();
    jobs.index(OWNER, claim::by_owner);
    let reconciler = Crons {
        crons: crons.clone(),
        jobs: jobs.clone(),
        writer: context.writer(),
        job_writer: context.writer(),
        recorder: context.recorder("cronjob-controller"),
    };
    let workers = context.options.tuning.concurrent_cron_job_syncs;
    Controller::new("cronjob", reconciler, context.shutdown)
        .watch(&crons, |change| vec![change.key.clone()])
        .watch(&jobs, |change| {
            let owners = change.states().filter_map(|job| owner::controller_of(&job.metadata));
            let crons = owners.filter(|owner| owner.kind == "CronJob");
            crons.map(|owner| Key::new(&change.key.namespace, &owner.name)).collect()
        })
        .run(workers)
        .await;
    Ok(())
}

struct Crons {
    crons: Informer<CronJob>,
    jobs: Informer<Job>,
    writer: Writer<CronJob>,
    job_writer: Writer<Job>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Crons {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(cron) = self.crons.store().get(key) else { return Ok(Next::Wait) };
        let jobs = self.jobs.store().by_index(OWNER, &cron.uid().unwrap_or_default());
        let snapshot = Snapshot { cron, jobs };
        let now = Timestamp::now();
        let step = plan::plan(&snapshot, now);
        let cron = &snapshot.cron;
        for note in step.notes {
            let kind = if note.warning { EventKind::Warning } else { EventKind::Normal };
            self.recorder.event(&**cron, kind, note.reason, note.message);
        }
        for job in step.forget.iter().chain(&step.replace) {
            self.delete(cron, job, writes).await?;
        }
        let mut status = step.status;
        if let Some(job) = step.create {
            match self.job_writer.create(writes, &job).await {
                Ok(created) => {
                    let message = format!("Created job {}", created.name_any());
                    self.recorder.event(&**cron, EventKind::Normal, "SuccessfulCreate", message);
                    status.active.get_or_insert_default().push(plan::reference(&created));
                }
                // Made before, by a controller that did not live to write it down.
                Err(error) if error.is_already_exists() => {
                    let theirs = self.job_writer.get(&Key::of(&*job)).await?;
                    if owner::is_controlled_by(&theirs.metadata, &**cron) && plan::ended(&theirs).is_none() {
                        status.active.get_or_insert_default().push(plan::reference(&theirs));
                    }
                }
                Err(error) if error.is_namespace_terminating() => return Ok(Next::Wait),
                Err(error) => {
                    let message = format!("Error creating job: {error}");
                    self.recorder.event(&**cron, EventKind::Warning, "FailedCreate", message);
                    return Err(error.into());
                }
            }
        }
        if cron.status.clone().unwrap_or_default() != status {
            let mut changed = CronJob::clone(cron);
            changed.status = Some(status);
            self.writer.update_status(writes, &changed).await?;
        }
        Ok(step.again_at.map_or(Next::Wait, |at| {
            // A moment late rather than early: the time has to have come.
            Next::After(pods::until(at, now) + std::time::Duration::from_millis(100))
        }))
    }
}

impl Crons {
    async fn delete(&self, cron: &CronJob, job: &Arc<Job>, writes: &Writes) -> Result<(), Error> {
        let policy = Some(PropagationPolicy::Background);
        let how = DeleteParams { propagation_policy: policy, ..write::only(job.metadata.uid.as_deref()) };
        match self.job_writer.delete(writes, &Key::of(&**job), &how).await {
            Ok(()) => {
                let message = format!("Deleted job {}", job.name_any());
                self.recorder.event(cron, EventKind::Normal, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => {
                let message = format!("Deleted job: {error}");
                self.recorder.event(cron, EventKind::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }
}
