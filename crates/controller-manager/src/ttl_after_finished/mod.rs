//! `ttl-after-finished-controller`: deletes Jobs some time after their end.

use api_types::k8s::api::batch::v1::Job;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{DeleteParams, ErrorExt, Informer, Key, PropagationPolicy, Writer, Writes, write};
use jiff::{SignedDuration, Timestamp};

use crate::common::pods;
use crate::context::Context;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let jobs = context.informers.all::<Job>();
    let reconciler = Ended { jobs: jobs.clone(), writer: context.writer() };
    let workers = context.options.tuning.concurrent_ttl_after_finished_syncs;
    Controller::new("ttl_jobs_to_delete", reconciler, context.shutdown)
        .watch(&jobs, |change| vec![change.key.clone()])
        .run(workers)
        .await;
    Ok(())
}

/// When a Job may go: its end plus its time to live, if it has both.
fn expires(job: &Job) -> Option<Timestamp> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended = conditions
        .iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    ended.last_transition_time.as_ref()?.0.checked_add(SignedDuration::from_secs(i64::from(ttl))).ok()
}

struct Ended {
    jobs: Informer<Job>,
    writer: Writer<Job>,
}

#[async_trait]
impl Reconciler for Ended {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let job = self.jobs.store().get(key).filter(|job| job.metadata.deletion_timestamp.is_none());
        let Some((job, due)) = job.and_then(|job| expires(&job).map(|due| (job, due))) else {
            return Ok(Next::Wait);
        };
        let now = Timestamp::now();
        if due > now {
            return Ok(Next::After(pods::until(due, now)));
        }
        let policy = Some(PropagationPolicy::Foreground);
        let how = DeleteParams { propagation_policy: policy, ..write::only(job.metadata.uid.as_deref()) };
        match self.writer.delete(writes, key, &how).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Wait),
        }
    }
}
