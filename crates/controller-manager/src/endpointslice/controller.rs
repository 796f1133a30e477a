//! Wiring of the endpoint slices of services with selectors.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Pod, Service};
use api_types::k8s::api::discovery::v1::EndpointSlice;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::{Change, ErrorExt, Informer, Key, Writer, Writes, owner, write};
use parking_lot::Mutex;

use super::plan::{self, MANAGER, Snapshot};
use crate::common::service::{self, TriggerTimes};
use crate::common::slices::{Action, Group, MANAGED_BY, SERVICE_NAME, TRIGGER_TIME};
use crate::common::{pods, selector};
use crate::context::Context;

const NAME: &str = "endpoint-slice-controller";
/// Index of slices by `namespace/service`.
pub(crate) const BY_SERVICE: &str = "service";

/// Index function: the service a slice belongs to.
pub(crate) fn by_service(slice: &EndpointSlice) -> Vec<String> {
    service_of(slice).map(|key| key.to_string()).into_iter().collect()
}

/// The service named in a slice's label.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = selector::labels(&slice.metadata).get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.as_deref()?, name))
}

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let services = context.informers.all::<Service>();
    let pods = context.informers.all::<Pod>();
    let nodes = context.informers.all::<Node>();
    let slices = context.informers.all::<EndpointSlice>();
    slices.index(BY_SERVICE, by_service);
    let reconciler = Slices {
        services: services.clone(),
        pods: pods.clone(),
        nodes: nodes.clone(),
        slices: slices.clone(),
        writer: context.writer(),
        recorder: context.recorder(NAME),
        max_per_slice: context.options.tuning.max_endpoints_per_slice,
        triggers: Mutex::default(),
    };
    let all = services.clone();
    let workers = context.options.tuning.concurrent_service_endpoint_syncs;
    Controller::new("endpoint_slice", reconciler, context.shutdown)
        .watch(&services, |change| vec![change.key.clone()])
        .watch(&pods, move |change| service::of_pod(change, &all))
        .watch(&slices, ours)
        .after(&nodes)
        .run(workers)
        .await;
    Ok(())
}

/// Somebody else's change of a slice that we keep.
fn ours(change: &Change<EndpointSlice>) -> Vec<Key> {
    let kept = |slice: &&Arc<EndpointSlice>| {
        selector::labels(&slice.metadata).get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
    };
    change.states().filter(kept).filter_map(|slice| service_of(slice)).collect()
}

struct Slices {
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    writer: Writer<EndpointSlice>,
    recorder: Recorder,
    max_per_slice: usize,
    triggers: Mutex<TriggerTimes>,
}

#[async_trait]
impl Reconciler for Slices {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(service) = self.services.store().get(key) else {
            self.triggers.lock().forget(key);
            return Ok(Next::Wait);
        };
        let Some(spec) = service::selecting(&service) else { return Ok(Next::Wait) };
        if service.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Wait);
        }
        let selector = selector::of_map(spec.selector.as_ref());
        let pods = self.pods.store().list_namespace(&key.namespace);
        let pods: Vec<Arc<Pod>> =
            pods.into_iter().filter(|pod| selector::matches(&selector, &pod.metadata)).collect();
        let snapshot = Snapshot {
            nodes: self.nodes_of(&pods),
            slices: self.kept(key),
            service: Arc::clone(&service),
            pods,
            max_per_slice: self.max_per_slice,
        };
        let trigger = self.triggers.lock().next(key, &service, snapshot.pods.iter().map(|pod| &**pod));
        let (actions, incomplete) = plan::plan(&snapshot);
        for action in actions {
            if let Err(error) = self.act(&service, action, trigger.map(service::stamp), writes).await {
                if !error.is_conflict() && !error.is_namespace_terminating() {
                    let message = format!("Error updating Endpoint Slices for Service {key}: {error}");
                    self.recorder.event(
                        &*service,
                        EventKind::Warning,
                        "FailedToUpdateEndpointSlices",
                        message,
                    );
                }
                return Err(error.into());
            }
        }
        Ok(if incomplete { Next::After(std::time::Duration::from_secs(1)) } else { Next::Wait })
    }
}

impl Slices {
    fn nodes_of(&self, pods: &[Arc<Pod>]) -> HashMap<String, Arc<Node>> {
        let names = pods.iter().map(|pod| pods::node(pod)).filter(|name| !name.is_empty());
        names.filter_map(|name| Some((name.to_owned(), self.nodes.store().find("", name)?))).collect()
    }

    fn kept(&self, service: &Key) -> Vec<EndpointSlice> {
        let all = self.slices.store().by_index(BY_SERVICE, &service.to_string());
        let kept = |slice: &&Arc<EndpointSlice>| {
            slice.metadata.deletion_timestamp.is_none()
                && selector::labels(&slice.metadata).get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
        };
        all.iter().filter(kept).map(|slice| EndpointSlice::clone(slice)).collect()
    }

    async fn act(
        &self,
        service: &Service,
        action: Action,
        trigger: Option<String>,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        match action {
            Action::Create(group) => {
                let fresh = EndpointSlice {
                    metadata: ObjectMeta {
                        namespace: service.metadata.namespace.clone(),
                        generate_name: Some(format!(
                            "{}-",
                            service.metadata.name.as_deref().unwrap_or_default()
                        )),
                        owner_references: Some(vec![owner::controller_ref(service)]),
                        ..ObjectMeta::default()
                    },
                    ..EndpointSlice::default()
                };
                self.writer.create(writes, &filled(fresh, group, service, trigger)).await?;
            }
            Action::Update(slice, group) => {
                self.writer.update(writes, &filled(*slice, group, service, trigger)).await?;
            }
            Action::Delete(slice) => {
                let how = write::only(slice.metadata.uid.as_deref());
                match self.writer.delete(writes, &Key::of(&*slice), &how).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The slice with new content, labels and trigger time.
fn filled(
    mut slice: EndpointSlice,
    group: Group,
    service: &Service,
    trigger: Option<String>,
) -> EndpointSlice {
    slice.address_type = group.address_type;
    slice.endpoints = Some(group.endpoints);
    slice.ports = (!group.ports.is_empty()).then_some(group.ports);
    slice.metadata.labels = Some(plan::labels(service));
    let mut annotations = slice.metadata.annotations.take().unwrap_or_default();
    annotations.remove(TRIGGER_TIME);
    annotations.extend(trigger.map(|at| (TRIGGER_TIME.to_owned(), at)));
    slice.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    slice
}
