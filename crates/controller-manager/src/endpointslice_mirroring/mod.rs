//! `endpointslice-mirroring-controller`: slices for Endpoints that somebody writes by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use api_types::k8s::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Writer, Writes, owner, write};

use crate::common::selector;
use crate::common::slices::{self, Action, Group, MANAGED_BY, SERVICE_NAME, TRIGGER_TIME};
use crate::context::Context;
use crate::endpointslice::{BY_SERVICE, by_service, service_of};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Endpoints of one subset that are mirrored at most.
const MAX_PER_SUBSET: usize = 1000;
const MAX_PER_SLICE: usize = 1000;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let services = context.informers.all::<Service>();
    let endpoints = context.informers.all::<Endpoints>();
    let slices = context.informers.all::<EndpointSlice>();
    slices.index(BY_SERVICE, by_service);
    let reconciler = Mirror {
        services: services.clone(),
        endpoints: endpoints.clone(),
        slices: slices.clone(),
        writer: context.writer(),
    };
    Controller::new("endpoint_slice_mirroring", reconciler, context.shutdown)
        .watch(&services, |change| vec![change.key.clone()])
        .watch(&endpoints, |change| vec![change.key.clone()])
        .watch(&slices, |change| {
            change.states().filter(|slice| is_ours(slice)).filter_map(|slice| service_of(slice)).collect()
        })
        .run(5)
        .await;
    Ok(())
}

fn is_ours(slice: &EndpointSlice) -> bool {
    selector::labels(&slice.metadata).get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

/// Whether Endpoints are to be mirrored: their service exists and selects nothing, and they do not object.
fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let annotated = endpoints.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(LEADER));
    let skipped = selector::labels(&endpoints.metadata).get(SKIP).is_some_and(|value| value == "true");
    let by_hand = service.is_some_and(|service| {
        service
            .spec
            .as_ref()
            .is_some_and(|spec| spec.selector.as_ref().is_none_or(|selector| selector.is_empty()))
    });
    by_hand && !annotated && !skipped
}

/// The groups of endpoints in hand-written subsets.
fn groups(subsets: &[EndpointSubset]) -> Vec<Group> {
    let mut groups = Vec::new();
    for subset in subsets {
        let ports: Vec<EndpointPort> = subset
            .ports
            .iter()
            .flatten()
            .map(|port| EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(port.port),
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
            .collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(unready).take(MAX_PER_SUBSET) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            let address_type = if ip.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned();
            groups.push(Group {
                address_type,
                ports: ports.clone(),
                endpoints: vec![endpoint(address, ready)],
            });
        }
    }
    groups
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn labels(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut labels = selector::labels(&endpoints.metadata).clone();
    labels.insert(SERVICE_NAME.to_owned(), endpoints.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn annotations(endpoints: &Endpoints) -> Option<BTreeMap<String, String>> {
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(TRIGGER_TIME);
    annotations.remove(LAST_APPLIED);
    (!annotations.is_empty()).then_some(annotations)
}

struct Mirror {
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Informer<EndpointSlice>,
    writer: Writer<EndpointSlice>,
}

#[async_trait]
impl Reconciler for Mirror {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let service = self.services.store().get(key);
        let source =
            self.endpoints.store().get(key).filter(|endpoints| is_mirrored(endpoints, service.as_deref()));
        let existing = self.slices.store().by_index(BY_SERVICE, &key.to_string());
        let existing: Vec<EndpointSlice> =
            existing.into_iter().filter(|slice| is_ours(slice)).map(Arc::unwrap_or_clone).collect();
        let Some(source) = source else {
            for slice in existing {
                self.delete(&slice, writes).await?;
            }
            return Ok(Next::Wait);
        };
        let stale = |slice: &EndpointSlice| {
            slice.metadata.labels != Some(labels(&source))
                || slice.metadata.annotations != annotations(&source)
        };
        let wanted = groups(&source.subsets.clone().unwrap_or_default());
        for action in slices::reconcile(&existing, wanted, MAX_PER_SLICE, &[], stale) {
            match action {
                Action::Create(group) => {
                    let fresh = EndpointSlice {
                        metadata: ObjectMeta {
                            namespace: Some(key.namespace.to_string()),
                            generate_name: Some(format!("{}-", key.name)),
                            owner_references: Some(vec![owner::controller_ref(&*source)]),
                            ..ObjectMeta::default()
                        },
                        ..EndpointSlice::default()
                    };
                    self.writer.create(writes, &filled(fresh, group, &source)).await?;
                }
                Action::Update(slice, group) => {
                    self.writer.update(writes, &filled(*slice, group, &source)).await?;
                }
                Action::Delete(slice) => self.delete(&slice, writes).await?,
            }
        }
        Ok(Next::Wait)
    }
}

impl Mirror {
    async fn delete(&self, slice: &EndpointSlice, writes: &Writes) -> Result<(), client::Error> {
        match self.writer.delete(writes, &Key::of(slice), &write::only(slice.metadata.uid.as_deref())).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn filled(mut slice: EndpointSlice, group: Group, source: &Endpoints) -> EndpointSlice {
    slice.address_type = group.address_type;
    slice.endpoints = Some(group.endpoints);
    slice.ports = (!group.ports.is_empty()).then_some(group.ports);
    slice.metadata.labels = Some(labels(source));
    slice.metadata.annotations = annotations(source);
    slice
}
