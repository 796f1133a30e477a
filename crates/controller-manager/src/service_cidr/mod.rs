//! `service-cidr-controller`: says when a range of service addresses may be used, and keeps it while addresses of it are.

use std::net::IpAddr;
use std::sync::Arc;

use api_types::k8s::api::networking::v1::{IPAddress, ServiceCIDR};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Writer, Writes};
use jiff::Timestamp;

use crate::common::cidr::Cidr;
use crate::context::Context;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Ready";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let ranges = context.informers.all::<ServiceCIDR>();
    let addresses = context.informers.all::<IPAddress>();
    let reconciler =
        Ranges { ranges: ranges.clone(), addresses: addresses.clone(), writer: context.writer() };
    let all = ranges.clone();
    Controller::new("servicecidrs", reconciler, context.shutdown)
        .watch(&ranges, move |_| all.store().keys())
        // Only an address that goes can let a range go.
        .watch(&addresses, move |change| {
            let ranges = if change.new.is_none() { ranges.store().keys() } else { Vec::new() };
            ranges.into_iter().collect()
        })
        .run(1)
        .await;
    Ok(())
}

struct Ranges {
    ranges: Informer<ServiceCIDR>,
    addresses: Informer<IPAddress>,
    writer: Writer<ServiceCIDR>,
}

#[async_trait]
impl Reconciler for Ranges {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(range) = self.ranges.store().get(key) else { return Ok(Next::Wait) };
        let mut changed = ServiceCIDR::clone(&range);
        let deleting = range.metadata.deletion_timestamp.is_some();
        let finalizers = changed.metadata.finalizers.get_or_insert_default();
        let has = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        if deleting && has && !self.in_use(&range) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        } else if !deleting && !has {
            finalizers.push(FINALIZER.to_owned());
        }
        if changed.metadata.finalizers != Some(range.metadata.finalizers.clone().unwrap_or_default()) {
            match self.writer.update(writes, &changed).await {
                Err(error) if error.is_not_found() => return Ok(Next::Wait),
                Err(error) => return Err(error.into()),
                Ok(written) => changed = written,
            }
            if deleting {
                return Ok(Next::Wait);
            }
        }
        if let Some(condition) = readiness(&changed, deleting, Timestamp::now()) {
            let conditions = changed.status.get_or_insert_default().conditions.get_or_insert_default();
            conditions.retain(|known| known.type_ != READY);
            conditions.push(condition);
            self.writer.update_status(writes, &changed).await?;
        }
        Ok(Next::Wait)
    }
}

impl Ranges {
    /// Whether an address is in this range and in no other that stays.
    fn in_use(&self, range: &ServiceCIDR) -> bool {
        let mine = cidrs(range);
        let others: Vec<Arc<ServiceCIDR>> = self
            .ranges
            .store()
            .list()
            .into_iter()
            .filter(|other| {
                other.metadata.name != range.metadata.name && other.metadata.deletion_timestamp.is_none()
            })
            .collect();
        let others: Vec<Cidr> = others.iter().flat_map(|other| cidrs(other)).collect();
        let within = |ranges: &[Cidr], address: IpAddr| ranges.iter().any(|range| range.contains(address));
        let addresses = self.addresses.store().keys();
        let mut parsed = addresses.iter().filter_map(|key| key.name.parse::<IpAddr>().ok());
        parsed.any(|address| within(&mine, address) && !within(&others, address))
    }
}

fn cidrs(range: &ServiceCIDR) -> Vec<Cidr> {
    let texts = range.spec.as_ref().and_then(|spec| spec.cidrs.clone()).unwrap_or_default();
    texts.iter().filter_map(|text| Cidr::parse(text)).collect()
}

/// The Ready condition to write; `None` when it says so already.
fn readiness(range: &ServiceCIDR, deleting: bool, now: Timestamp) -> Option<Condition> {
    let (status, reason, message) = if deleting {
        (
            "False",
            "Terminating",
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
        )
    } else {
        ("True", "", "Kubernetes Service CIDR is ready")
    };
    let conditions =
        range.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let known = conditions.iter().find(|condition| condition.type_ == READY);
    let same = known.is_some_and(|known| known.status == status && known.reason == reason);
    (!same).then(|| Condition {
        type_: READY.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: None,
        last_transition_time: Time(now),
    })
}
