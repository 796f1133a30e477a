//! Wiring of Endpoints objects.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Endpoints, Pod, Service};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::{ErrorExt, Informer, Key, Writer, Writes, write};
use parking_lot::Mutex;

use super::plan;
use crate::common::selector;
use crate::common::service::{self, TriggerTimes};
use crate::common::slices::TRIGGER_TIME;
use crate::context::Context;

const NAME: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Endpoints that carry this annotation are locks of old leader elections.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let services = context.informers.all::<Service>();
    let pods = context.informers.all::<Pod>();
    let endpoints = context.informers.all::<Endpoints>();
    let reconciler = Controlled {
        services: services.clone(),
        pods: pods.clone(),
        endpoints: endpoints.clone(),
        writer: context.writer(),
        recorder: context.recorder(NAME),
        triggers: Mutex::default(),
    };
    let all = services.clone();
    let workers = context.options.tuning.concurrent_endpoint_syncs;
    Controller::new("endpoint", reconciler, context.shutdown)
        .watch(&services, |change| vec![change.key.clone()])
        .watch(&pods, move |change| service::of_pod(change, &all))
        .watch(&endpoints, |change| change.new.is_none().then(|| change.key.clone()).into_iter().collect())
        .run(workers)
        .await;
    Ok(())
}

struct Controlled {
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
    writer: Writer<Endpoints>,
    recorder: Recorder,
    triggers: Mutex<TriggerTimes>,
}

#[async_trait]
impl Reconciler for Controlled {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let current = self.endpoints.store().get(key);
        let Some(service) = self.services.store().get(key) else {
            self.triggers.lock().forget(key);
            self.remove(key, current.as_deref(), writes).await?;
            return Ok(Next::Wait);
        };
        let Some(spec) = service::selecting(&service) else { return Ok(Next::Wait) };
        let selector = selector::of_map(spec.selector.as_ref());
        let pods = self.pods.store().list_namespace(&key.namespace);
        let pods: Vec<Arc<Pod>> =
            pods.into_iter().filter(|pod| selector::matches(&selector, &pod.metadata)).collect();
        let trigger = self.triggers.lock().next(key, &service, pods.iter().map(|pod| &**pod));
        let (subsets, truncated) = plan::subsets(&service, &pods);
        let marked = current.as_ref().is_some_and(|known| {
            known
                .metadata
                .annotations
                .as_ref()
                .is_some_and(|annotations| annotations.contains_key(OVER_CAPACITY))
        });
        let same = current.as_ref().is_some_and(|known| known.subsets.clone().unwrap_or_default() == subsets);
        if same && marked == truncated {
            return Ok(Next::Wait);
        }
        let create = current.is_none();
        let mut wanted = current.map(Arc::unwrap_or_clone).unwrap_or_else(|| Endpoints {
            metadata: ObjectMeta {
                name: Some(key.name.to_string()),
                namespace: Some(key.namespace.to_string()),
                ..ObjectMeta::default()
            },
            subsets: None,
        });
        wanted.subsets = (!subsets.is_empty()).then_some(subsets);
        wanted.metadata.labels = Some(plan::labels(&service));
        let mut annotations = wanted.metadata.annotations.take().unwrap_or_default();
        annotations.remove(TRIGGER_TIME);
        annotations.remove(OVER_CAPACITY);
        annotations.extend(trigger.map(|at| (TRIGGER_TIME.to_owned(), service::stamp(at))));
        annotations.extend(truncated.then(|| (OVER_CAPACITY.to_owned(), "truncated".to_owned())));
        wanted.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        let written = if create {
            self.writer.create(writes, &wanted).await
        } else {
            self.writer.update(writes, &wanted).await
        };
        match written {
            Ok(_) => Ok(Next::Wait),
            Err(error) if error.is_namespace_terminating() => Ok(Next::Wait),
            Err(error) => {
                if !error.is_conflict() {
                    let (reason, verb) = if create {
                        ("FailedToCreateEndpoint", "create")
                    } else {
                        ("FailedToUpdateEndpoint", "update")
                    };
                    let message = format!("Failed to {verb} endpoint {key}: {error}");
                    self.recorder.event(&wanted, EventKind::Warning, reason, message);
                }
                Err(error.into())
            }
        }
    }
}

impl Controlled {
    /// Endpoints end with their service, unless they never belonged to one.
    async fn remove(
        &self,
        key: &Key,
        current: Option<&Endpoints>,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let Some(current) = current else { return Ok(()) };
        let lock =
            current.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER));
        if lock {
            return Ok(());
        }
        match self.writer.delete(writes, key, &write::only(current.metadata.uid.as_deref())).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
