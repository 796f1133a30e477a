//! `resourcequota-controller`: counts what a namespace uses of its quotas.
//!
//! The apiserver's admission adds to the count when something is created; this controller makes it right again when
//! something goes or changes.

mod plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api_types::k8s::api::core::v1::{
    PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service,
};
use api_types::k8s::apimachinery::pkg::api::resource::Quantity as Wire;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::discovery;
use client::kube::api::ApiResource;
use client::kube::core::{DynamicObject, PartialObjectMeta};
use client::queue::Queue;
use client::{Change, ErrorExt, Informer, Informers, Key, Scope, Writer, Writes};
use component::CancellationToken;
use parking_lot::Mutex;

use crate::context::Context;
use plan::Usage;

type Metadata = PartialObjectMeta<DynamicObject>;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let quotas = context.informers.all::<ResourceQuota>();
    let pods = context.informers.all::<Pod>();
    let services = context.informers.all::<Service>();
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let queue = Queue::new("resourcequota_primary");
    let reconciler = Quotas {
        quotas: quotas.clone(),
        pods: pods.clone(),
        services: services.clone(),
        claims: claims.clone(),
        writer: context.writer(),
        informers: context.informers.clone(),
        counted: Mutex::default(),
        queue: queue.clone(),
        shutdown: context.shutdown.clone(),
        period: context.options.tuning.resource_quota_sync_period.0,
    };
    let (a, b, c) = (quotas.clone(), quotas.clone(), quotas.clone());
    let workers = context.options.tuning.concurrent_resource_quota_syncs;
    Controller::shared("resourcequota_primary", Arc::new(reconciler), queue, context.shutdown)
        .watch(&quotas, |change| vec![change.key.clone()])
        .watch(
            &pods,
            move |change| if plan::pod_matters(change) { of_namespace(&a, &change.key) } else { Vec::new() },
        )
        .watch(&services, move |change| of_namespace(&b, &change.key))
        .watch(&claims, move |change| of_namespace(&c, &change.key))
        .run(workers)
        .await;
    Ok(())
}

fn of_namespace(quotas: &Informer<ResourceQuota>, key: &Key) -> Vec<Key> {
    quotas.store().list_namespace(&key.namespace).iter().map(|quota| Key::of(&**quota)).collect()
}

struct Quotas {
    quotas: Informer<ResourceQuota>,
    pods: Informer<Pod>,
    services: Informer<Service>,
    claims: Informer<PersistentVolumeClaim>,
    writer: Writer<ResourceQuota>,
    informers: Informers,
    /// Informers of resources that some quota counts, by `plural.group`.
    counted: Mutex<HashMap<String, Informer<Metadata>>>,
    queue: Queue<Key>,
    shutdown: CancellationToken,
    period: std::time::Duration,
}

#[async_trait]
impl Reconciler for Quotas {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(quota) = self.quotas.store().get(key) else { return Ok(Next::Wait) };
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for name in hard.keys() {
            if let Some(resource) = plan::counted_resource(name)
                && let Some(informer) = self.counter(&resource).await?
            {
                counts.insert(resource, informer.store().list_namespace(&key.namespace).len());
            }
        }
        let usage = Usage {
            pods: self.pods.store().list_namespace(&key.namespace),
            services: self.services.store().list_namespace(&key.namespace),
            claims: self.claims.store().list_namespace(&key.namespace),
            counts,
        };
        let used = plan::used(&quota, &usage);
        let used: BTreeMap<String, Wire> =
            used.into_iter().map(|(name, value)| (name, Wire(value.to_string()))).collect();
        let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
        if quota.status.as_ref() != Some(&status) {
            let mut changed = ResourceQuota::clone(&quota);
            changed.status = Some(status);
            match self.writer.update_status(writes, &changed).await {
                Err(error) if error.is_not_found() => {}
                result => drop(result?),
            }
        }
        Ok(Next::After(self.period))
    }
}

impl Quotas {
    /// The informer that counts `plural.group`, started when a quota first names it; `None` when nobody serves that.
    async fn counter(&self, name: &str) -> Result<Option<Informer<Metadata>>, client::Error> {
        if let Some(known) = self.counted.lock().get(name) {
            return Ok(Some(known.clone()));
        }
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        let served = discovery::discover(self.informers.client()).await?.resources;
        let found = served.into_iter().find(|served| {
            served.namespaced && served.resource.plural == plural && served.resource.group == group
        });
        let Some(found) = found else { return Ok(None) };
        let informer = self.start(found.resource);
        informer.synced().await;
        self.counted.lock().insert(name.to_owned(), informer.clone());
        Ok(Some(informer))
    }

    fn start(&self, resource: ApiResource) -> Informer<Metadata> {
        let informer = self.informers.dynamic::<Metadata>(resource, Scope::default());
        let mut changes = informer.subscribe();
        let (quotas, queue, shutdown) = (self.quotas.clone(), self.queue.clone(), self.shutdown.clone());
        tokio::spawn(async move {
            loop {
                let change: Change<Metadata> = tokio::select! {
                    () = shutdown.cancelled() => return,
                    change = changes.next() => change,
                };
                if change.old.is_none() || change.new.is_none() {
                    for key in of_namespace(&quotas, &change.key) {
                        queue.add(key);
                    }
                }
            }
        });
        informer
    }
}
