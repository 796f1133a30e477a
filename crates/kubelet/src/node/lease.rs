//! The node's Lease: a sign of life that costs less than a status (KEP-589).

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::coordination::v1::{Lease, LeaseSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use client::{Api, Client, ErrorExt, PostParams};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::report::chain;

/// Where node leases are.
const NAMESPACE: &str = "kube-node-lease";

/// Renews the lease four times in its life of `seconds`, until `stop`.
pub async fn run(client: Client, host: Arc<Host>, seconds: i32, stop: CancellationToken) {
    let period = Duration::from_millis(u64::try_from(seconds.max(1)).unwrap_or(40) * 250);
    let api = Api::<Lease>::namespaced(client, NAMESPACE);
    let mut last = None;
    let mut failing = false;
    loop {
        let renewed = renew(&api, &host, seconds, last.take()).await;
        let pause = match renewed {
            Ok(lease) => {
                last = Some(lease);
                failing = false;
                period
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = chain(&error), "Node lease not renewed; trying again");
                }
                Duration::from_secs(1).min(period)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn renew(
    api: &Api<Lease>,
    host: &Host,
    seconds: i32,
    last: Option<Lease>,
) -> Result<Lease, client::Error> {
    let known = match last {
        Some(lease) => Some(lease),
        None => api.get_opt(&host.name).await?,
    };
    match known {
        Some(mut lease) => {
            fill(&mut lease, host, seconds);
            match api.replace(&host.name, &PostParams::default(), &lease).await {
                // Somebody else wrote, or deleted it: take the next round from what is there.
                Err(error) if error.is_conflict() || error.is_not_found() => {
                    let Some(mut lease) = api.get_opt(&host.name).await? else {
                        return create(api, host, seconds).await;
                    };
                    fill(&mut lease, host, seconds);
                    api.replace(&host.name, &PostParams::default(), &lease).await
                }
                other => other,
            }
        }
        None => create(api, host, seconds).await,
    }
}

async fn create(api: &Api<Lease>, host: &Host, seconds: i32) -> Result<Lease, client::Error> {
    let metadata = ObjectMeta {
        name: Some(host.name.clone()),
        namespace: Some(NAMESPACE.into()),
        ..ObjectMeta::default()
    };
    let mut lease = Lease { metadata, spec: None };
    fill(&mut lease, host, seconds);
    api.create(&PostParams::default(), &lease).await
}

fn fill(lease: &mut Lease, host: &Host, seconds: i32) {
    if lease.metadata.owner_references.as_ref().is_none_or(Vec::is_empty)
        && let Some(uid) = host.node().and_then(|node| node.metadata.uid.clone())
    {
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: host.name.clone(),
            uid,
            ..OwnerReference::default()
        };
        lease.metadata.owner_references = Some(vec![owner]);
    }
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(host.name.clone());
    spec.lease_duration_seconds = Some(seconds);
    spec.renew_time = Some(MicroTime(Timestamp::now()));
}
