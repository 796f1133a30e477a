//! `certificatesigningrequest-cleaner-controller`: requests are not kept when nobody needs them any more.

use api_types::k8s::api::certificates::v1::CertificateSigningRequest;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Writer, Writes, write};
use jiff::{SignedDuration, Timestamp};

use super::{conditions, has, issued};
use crate::common::pods;
use crate::context::Context;

const DECIDED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let requests = context.informers.all::<CertificateSigningRequest>();
    let reconciler = Cleaner { requests: requests.clone(), writer: context.writer() };
    Controller::new("csrcleaner", reconciler, context.shutdown)
        .watch(&requests, |change| vec![change.key.clone()])
        .run(1)
        .await;
    Ok(())
}

/// When a request may go.
pub(super) fn expires(csr: &CertificateSigningRequest) -> Option<Timestamp> {
    let created = csr.metadata.creation_timestamp.as_ref()?.0;
    let decided = ["Approved", "Denied", "Failed"].into_iter().any(|kind| has(csr, kind));
    if !decided && !issued(csr) {
        return created.checked_add(PENDING).ok();
    }
    let last = conditions(csr)
        .iter()
        .filter_map(|condition| condition.last_update_time.as_ref())
        .map(|time| time.0)
        .max();
    last.unwrap_or(created).checked_add(DECIDED).ok()
}

struct Cleaner {
    requests: Informer<CertificateSigningRequest>,
    writer: Writer<CertificateSigningRequest>,
}

#[async_trait]
impl Reconciler for Cleaner {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(csr) = self.requests.store().get(key) else { return Ok(Next::Wait) };
        let Some(due) = expires(&csr) else { return Ok(Next::Wait) };
        let now = Timestamp::now();
        if due > now {
            return Ok(Next::After(pods::until(due, now)));
        }
        match self.writer.delete(writes, key, &write::only(csr.metadata.uid.as_deref())).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Wait),
        }
    }
}
