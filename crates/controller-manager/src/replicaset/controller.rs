//! Wiring: which changes concern which set, and carrying out the plan.

use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::ResourceExt;
use client::{ErrorExt, Informer, Key, Writer, Writes, owner, write};
use futures::future::join_all;
use jiff::Timestamp;

use super::kind::Kind;
use super::plan::{self, Action, Snapshot};
use crate::common::claim::{self, OWNER};
use crate::common::pods;
use crate::context::Context;

pub(super) async fn run<S: Kind>(context: Context, workers: usize) {
    let sets = context.informers.all::<S>();
    let pods = context.informers.all::<Pod>();
    pods.index(OWNER, claim::by_owner);
    sets.index(OWNER, claim::by_owner);
    let reconciler = Sets {
        sets: sets.clone(),
        pods: pods.clone(),
        set_writer: context.writer::<S>(),
        pod_writer: context.writer::<Pod>(),
        recorder: context.recorder(S::CONTROLLER),
    };
    let stores = sets.clone();
    Controller::new(S::CONTROLLER, reconciler, context.shutdown)
        .watch(&sets, |change| vec![change.key.clone()])
        .watch(&pods, move |change| claim::concerned(change, &stores, |set: &S| set.spec().selector))
        .run(workers)
        .await;
}

struct Sets<S: Kind> {
    sets: Informer<S>,
    pods: Informer<Pod>,
    set_writer: Writer<S>,
    pod_writer: Writer<Pod>,
    recorder: Recorder,
}

#[async_trait]
impl<S: Kind> Reconciler for Sets<S> {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(set) = self.sets.store().get(key) else { return Ok(Next::Wait) };
        let snapshot = self.snapshot(&set, writes).await?;
        let now = Timestamp::now();
        let deleting = set.meta().deletion_timestamp.is_some();
        let action = if deleting { None } else { plan::plan(&snapshot, now) };
        let outcome = match action {
            None => Ok(()),
            Some(Action::Create(count)) => {
                self.create(&set, &snapshot, count, writes).await.map_err(|error| ("FailedCreate", error))
            }
            Some(Action::Delete(surplus)) => {
                self.delete(&set, surplus, writes).await.map_err(|error| ("FailedDelete", error))
            }
        };
        let failure = outcome.as_ref().err().map(|(reason, error)| (*reason, error.to_string()));
        self.write_status(&set, &snapshot, failure, now, writes).await?;
        outcome.map_err(|(_, error)| error)?;
        Ok(plan::next_available(&snapshot, now).map_or(Next::Wait, |at| Next::After(pods::until(at, now))))
    }
}

impl<S: Kind> Sets<S> {
    async fn snapshot(&self, set: &Arc<S>, writes: &Writes) -> Result<Snapshot, anyhow::Error> {
        let spec = set.spec();
        let namespace = set.namespace().unwrap_or_default();
        let uid = set.uid().unwrap_or_default();
        let store = self.pods.store();
        let mut candidates = store.by_index(OWNER, &uid);
        candidates.extend(store.by_index(OWNER, &claim::orphans(&namespace)));
        let claims = claim::claim(set.meta(), &spec.selector, candidates);
        let owned = claim::settle(&**set, &self.set_writer, &self.pod_writer, claims, writes).await?;
        let related = self.related(set, &owned);
        Ok(Snapshot { spec, owned, related })
    }

    /// Pods of all sets with the same controller; without one, the set's own.
    fn related(&self, set: &Arc<S>, owned: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let controller = owner::controller_uid(set.meta());
        if controller.is_empty() {
            return owned.to_vec();
        }
        let siblings = self.sets.store().by_index(OWNER, controller);
        siblings
            .iter()
            .flat_map(|sibling| self.pods.store().by_index(OWNER, &sibling.uid().unwrap_or_default()))
            .collect()
    }

    /// Creates in batches of 1, 2, 4, …: when something is wrong with the template or the quota, few requests tell.
    async fn create(
        &self,
        set: &Arc<S>,
        snapshot: &Snapshot,
        count: usize,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let namespace = set.namespace().unwrap_or_default();
        let pod = pods::from_template(
            &snapshot.spec.template,
            &namespace,
            &set.name_any(),
            owner::controller_ref(&**set),
        );
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let now = batch.min(left);
            let results = join_all((0..now).map(|_| self.pod_writer.create(writes, &pod))).await;
            let mut failed = None;
            for result in results {
                match result {
                    Ok(created) => {
                        let message = format!("Created pod: {}", created.name_any());
                        self.recorder.event(&**set, EventKind::Normal, "SuccessfulCreate", message);
                    }
                    // The namespace is going, and the set with it.
                    Err(error) if error.is_namespace_terminating() => return Ok(()),
                    Err(error) => {
                        let error = friendly(error);
                        let message = format!("Error creating: {error}");
                        self.recorder.event(&**set, EventKind::Warning, "FailedCreate", message);
                        failed = Some(error);
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            left -= now;
            batch *= 2;
        }
        Ok(())
    }

    async fn delete(
        &self,
        set: &Arc<S>,
        surplus: Vec<Arc<Pod>>,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let results = join_all(surplus.iter().map(|pod| async move {
            let how = write::only(pod.metadata.uid.as_deref());
            (pod, self.pod_writer.delete(writes, &Key::of(&**pod), &how).await)
        }))
        .await;
        let mut failed = None;
        for (pod, result) in results {
            match result {
                Ok(()) => {
                    let message = format!("Deleted pod: {}", pod.name_any());
                    self.recorder.event(&**set, EventKind::Normal, "SuccessfulDelete", message);
                }
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => {
                    let error = friendly(error);
                    let message = format!("Error deleting: {error}");
                    self.recorder.event(&**set, EventKind::Warning, "FailedDelete", message);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn write_status(
        &self,
        set: &Arc<S>,
        snapshot: &Snapshot,
        failure: Option<(&str, String)>,
        now: Timestamp,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let generation = set.meta().generation.unwrap_or(0);
        let conditions = set.status(&Default::default()).conditions;
        let status = plan::status(snapshot, &conditions, generation, failure, now);
        if status == set.status(&status) {
            return Ok(());
        }
        let mut changed = S::clone(set);
        changed.set_status(&status);
        match self.set_writer.update_status(writes, &changed).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The server's own message, without the decoration of the transport.
fn friendly(error: client::Error) -> anyhow::Error {
    match error {
        client::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        other => other.into(),
    }
}
