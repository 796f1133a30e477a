//! `disruption-controller`: how many pods of a budget may be evicted just now.

mod plan;

use std::sync::Arc;

use api_types::k8s::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use api_types::k8s::api::core::v1::{Pod, ReplicationController};
use api_types::k8s::api::policy::v1::PodDisruptionBudget;
use api_types::selector::Selector;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::{Change, ErrorExt, Informer, Key, Writer, Writes, owner};
use jiff::Timestamp;

use crate::common::{pods, selector};
use crate::context::Context;
use plan::{Scale, Snapshot};

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let budgets = context.informers.all::<PodDisruptionBudget>();
    let pods = context.informers.all::<Pod>();
    let reconciler = Budgets {
        budgets: budgets.clone(),
        pods: pods.clone(),
        deployments: context.informers.all(),
        replica_sets: context.informers.all(),
        stateful_sets: context.informers.all(),
        replication: context.informers.all(),
        writer: context.writer(),
        recorder: context.recorder("controllermanager"),
    };
    let (deployments, replica_sets) = (reconciler.deployments.clone(), reconciler.replica_sets.clone());
    let (stateful_sets, replication) = (reconciler.stateful_sets.clone(), reconciler.replication.clone());
    let of = |budgets: &Informer<PodDisruptionBudget>| {
        let budgets = budgets.clone();
        move |namespace: &str| {
            budgets.store().list_namespace(namespace).iter().map(|budget| Key::of(&**budget)).collect()
        }
    };
    let (a, b, c, d): (_, _, _, _) = (of(&budgets), of(&budgets), of(&budgets), of(&budgets));
    let all = budgets.clone();
    Controller::new("disruption", reconciler, context.shutdown)
        .watch(&budgets, |change| vec![change.key.clone()])
        .watch(&pods, move |change| of_pod(change, &all))
        .watch(&deployments, move |change| a(&change.key.namespace))
        .watch(&replica_sets, move |change| b(&change.key.namespace))
        .watch(&stateful_sets, move |change| c(&change.key.namespace))
        .watch(&replication, move |change| d(&change.key.namespace))
        .run(2)
        .await;
    Ok(())
}

fn selector_of(budget: &PodDisruptionBudget) -> Selector {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing())
}

fn of_pod(change: &Change<Pod>, budgets: &Informer<PodDisruptionBudget>) -> Vec<Key> {
    let candidates = budgets.store().list_namespace(&change.key.namespace);
    let matching = candidates.iter().filter(|budget| {
        let selector = selector_of(budget);
        change.states().any(|pod| selector::matches(&selector, &pod.metadata))
    });
    matching.map(|budget| Key::of(&**budget)).collect()
}

struct Budgets {
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    deployments: Informer<Deployment>,
    replica_sets: Informer<ReplicaSet>,
    stateful_sets: Informer<StatefulSet>,
    replication: Informer<ReplicationController>,
    writer: Writer<PodDisruptionBudget>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Budgets {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(budget) = self.budgets.store().get(key) else { return Ok(Next::Wait) };
        let selector = selector_of(&budget);
        let pods = self.pods.store().list_namespace(&key.namespace);
        let pods: Vec<Arc<Pod>> =
            pods.into_iter().filter(|pod| selector::matches(&selector, &pod.metadata)).collect();
        if pods.is_empty() {
            self.recorder.event(&*budget, EventKind::Normal, "NoPods", "No matching pods found");
        }
        let scales = pods.iter().map(|pod| self.scale(pod)).collect();
        let snapshot = Snapshot { budget: Arc::clone(&budget), pods, scales };
        let now = Timestamp::now();
        let outcome = plan::plan(&snapshot, now);
        if outcome.unmanaged {
            self.recorder.event(
                &*budget,
                EventKind::Warning,
                "UnmanagedPods",
                plan::unmanaged_message(&budget),
            );
        }
        if budget.status.as_ref() != Some(&outcome.status) {
            let mut changed = PodDisruptionBudget::clone(&budget);
            changed.status = Some(outcome.status);
            match self.writer.update_status(writes, &changed).await {
                Err(error) if error.is_not_found() => {}
                result => drop(result?),
            }
        }
        Ok(outcome.again_at.map_or(Next::Wait, |at| Next::After(pods::until(at, now))))
    }
}

impl Budgets {
    /// The scale of whatever controls a pod; `None` for pods that nobody scales.
    fn scale(&self, pod: &Pod) -> Option<Scale> {
        let namespace = pod.metadata.namespace.as_deref()?;
        let reference = owner::controller_of(&pod.metadata)?;
        let scale =
            |uid: &str, replicas: Option<i32>| Scale { uid: uid.to_owned(), replicas: replicas.unwrap_or(1) };
        match reference.kind.as_str() {
            "ReplicaSet" => {
                let set = self.replica_sets.store().find(namespace, &reference.name)?;
                let above = owner::controller_of(&set.metadata).filter(|above| above.kind == "Deployment");
                let deployment =
                    above.and_then(|above| self.deployments.store().find(namespace, &above.name));
                Some(match deployment {
                    Some(deployment) => scale(
                        deployment.metadata.uid.as_deref().unwrap_or_default(),
                        deployment.spec.as_ref().and_then(|spec| spec.replicas),
                    ),
                    None => scale(&reference.uid, set.spec.as_ref().and_then(|spec| spec.replicas)),
                })
            }
            "StatefulSet" => {
                let set = self.stateful_sets.store().find(namespace, &reference.name)?;
                Some(scale(&reference.uid, set.spec.as_ref().and_then(|spec| spec.replicas)))
            }
            "ReplicationController" => {
                let set = self.replication.store().find(namespace, &reference.name)?;
                Some(scale(&reference.uid, set.spec.as_ref().and_then(|spec| spec.replicas)))
            }
            _ => None,
        }
    }
}
