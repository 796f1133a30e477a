//! The service `kubernetes` in the namespace `default`: how pods find the apiserver.
//!
//! Every apiserver keeps a lease of its address under `/registry/masterleases/`, as upstream does; the endpoints of the
//! service are the addresses whose leases live. On a clean stop the lease is given up, so that clients go elsewhere at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storage::{Freshness, ListAt, ListQuery, ResourceConfig, ResourceStore, Selection};

use crate::error::{Error, Result};
use crate::loopback::{Objects, Target};
use crate::registry::Registry;
use crate::registry::endpoint::storage_error;
use crate::server::Server;

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";
const SERVICE_PORT: u16 = 443;
/// How often the lease is renewed and the endpoints are looked at.
const PERIOD: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(15);

/// Keeps the service and its endpoints until the server stops.
pub async fn run(server: Arc<Server>) {
    let reconcile_endpoints = server.options.cluster.endpoint_reconciler_type != "none";
    let leases = match leases(&server.registry) {
        Ok(leases) => leases,
        Err(error) => {
            tracing::error!(%error, "cannot keep apiserver leases; the kubernetes service has no endpoints");
            return;
        }
    };
    let mut wait = Duration::from_millis(200);
    loop {
        match reconcile(&server, &leases, reconcile_endpoints).await {
            Ok(()) => wait = PERIOD,
            Err(error) => {
                wait = (wait * 2).min(PERIOD);
                tracing::warn!(%error, retry_in = ?wait, "the kubernetes service is not in place yet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = server.shutdown.cancelled() => break,
        }
    }
    if reconcile_endpoints {
        give_up(&server, &leases).await;
    }
}

fn leases(registry: &Registry) -> Result<ResourceStore> {
    let mut config = ResourceConfig::new("/registry/masterleases", false, "v1", "Endpoints");
    config.ttl = Some(LEASE);
    registry.store().resource(config).map_err(storage_error)
}

async fn reconcile(server: &Server, leases: &ResourceStore, endpoints: bool) -> Result<()> {
    put_service(server).await?;
    if !endpoints {
        return Ok(());
    }
    renew(leases, server.advertised.ip()).await?;
    let addresses = living(leases).await?;
    put_endpoints(server, &addresses).await?;
    put_slice(server, &addresses).await
}

async fn put_service(server: &Server) -> Result<()> {
    let objects: &dyn Objects = &*server.registry;
    if objects.get(target("", "services")).await?.is_some() {
        return Ok(());
    }
    let ranges = &server.options.cluster.service_cluster_ip_range;
    let ip = crate::addresses::first_of_range(ranges)
        .ok_or_else(|| Error::internal("--service-cluster-ip-range has no first address"))?;
    let service = json!({
        "metadata": {
            "name": NAME, "namespace": NAMESPACE,
            "labels": { "provider": "kubernetes", "component": "apiserver" },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": ip.to_string(),
            "clusterIPs": [ip.to_string()],
            "ipFamilies": [if ip.is_ipv4() { "IPv4" } else { "IPv6" }],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{
                "name": "https", "protocol": "TCP", "port": SERVICE_PORT, "targetPort": server.advertised.port(),
            }],
        },
    });
    match objects.create(target("", "services"), service).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}

/// Writes this server's lease anew.
async fn renew(leases: &ResourceStore, address: IpAddr) -> Result<()> {
    let name = address.to_string();
    let present = leases.get("", &name, Freshness::Latest).await.map_err(storage_error)?;
    let count =
        present.as_ref().and_then(|lease| lease.value()["metadata"]["generation"].as_i64()).unwrap_or(0);
    // The generation makes every renewal a change, which is what prolongs it.
    let lease = json!({
        "metadata": { "name": name, "generation": count + 1 },
        "subsets": [{ "addresses": [{ "ip": name }] }],
    });
    let written = match present {
        Some(present) => leases.update(&present, &lease).await,
        None => leases.create("", &name, &lease).await,
    };
    match written {
        Ok(_) | Err(storage::Error::AlreadyExists { .. } | storage::Error::Conflict(_)) => Ok(()),
        Err(error) => Err(storage_error(error)),
    }
}

/// The addresses of all apiservers that live.
async fn living(leases: &ResourceStore) -> Result<Vec<IpAddr>> {
    let query = ListQuery {
        selection: Selection::all(),
        at: ListAt::Fresh(Freshness::Latest),
        ..ListQuery::default()
    };
    let page = leases.list(&query).await.map_err(storage_error)?;
    let mut addresses: Vec<IpAddr> =
        page.items.iter().filter_map(|lease| lease.name().parse().ok()).collect();
    addresses.sort();
    Ok(addresses)
}

async fn put_endpoints(server: &Server, addresses: &[IpAddr]) -> Result<()> {
    let addresses: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip.to_string() })).collect();
    let subsets = match addresses.is_empty() {
        true => json!([]),
        false => json!([{
            "addresses": addresses,
            "ports": [{ "name": "https", "port": server.advertised.port(), "protocol": "TCP" }],
        }]),
    };
    let labels = json!({ "endpointslice.kubernetes.io/skip-mirror": "true" });
    put(&server.registry, target("", "endpoints"), labels, &[("subsets", subsets)]).await
}

async fn put_slice(server: &Server, addresses: &[IpAddr]) -> Result<()> {
    let v4 = addresses.iter().all(IpAddr::is_ipv4);
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|ip| json!({ "addresses": [ip.to_string()], "conditions": { "ready": true } }))
        .collect();
    let labels = json!({ "kubernetes.io/service-name": NAME });
    let fields = [
        ("addressType", json!(if v4 { "IPv4" } else { "IPv6" })),
        ("endpoints", endpoints.into()),
        ("ports", json!([{ "name": "https", "port": server.advertised.port(), "protocol": "TCP" }])),
    ];
    put(&server.registry, target("discovery.k8s.io", "endpointslices"), labels, &fields).await
}

/// Creates an object, or makes these fields of it what they should be.
async fn put(registry: &Registry, target: Target<'_>, labels: Value, fields: &[(&str, Value)]) -> Result<()> {
    let objects: &dyn Objects = registry;
    let Some(mut object) = objects.get(target).await? else {
        let mut object = json!({ "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": labels } });
        for (key, value) in fields {
            object[*key] = value.clone();
        }
        return match objects.create(target, object).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        };
    };
    if fields.iter().all(|(key, value)| object.get(*key) == Some(value)) {
        return Ok(());
    }
    for (key, value) in fields {
        object[*key] = value.clone();
    }
    match objects.update(target, object).await {
        // Another apiserver was quicker; the next look finds out whether it is right.
        Err(error) if !error.is_conflict() => Err(error),
        _ => Ok(()),
    }
}

/// Gives up this server's lease and takes it out of the endpoints.
async fn give_up(server: &Server, leases: &ResourceStore) {
    let ours = server.advertised.ip();
    let result = async {
        if let Some(lease) = leases.get("", &ours.to_string(), Freshness::Any).await.map_err(storage_error)? {
            leases.delete(&lease).await.map_err(storage_error)?;
        }
        let mut addresses = living(leases).await?;
        addresses.retain(|ip| *ip != ours);
        // A lone server leaves its address: clients find it again when it is back.
        if addresses.is_empty() {
            return Ok(());
        }
        put_endpoints(server, &addresses).await?;
        put_slice(server, &addresses).await
    };
    match tokio::time::timeout(Duration::from_secs(2), result).await {
        Ok(Ok::<(), Error>(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot leave the endpoints of the kubernetes service"),
        Err(_) => tracing::warn!("no time to leave the endpoints of the kubernetes service"),
    }
}

fn target(group: &'static str, resource: &'static str) -> Target<'static> {
    Target { group, resource, namespace: NAMESPACE, name: NAME, subresource: "" }
}
