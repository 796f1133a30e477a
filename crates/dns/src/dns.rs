//! The daemon: watches, and serves.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use api_types::k8s::api::core::v1::Service;
use api_types::k8s::api::discovery::v1::EndpointSlice;
use client::{Informers, Subscription};
use component::exit::WithCure;
use component::pages::{self, Pages, listen_address};
use component::{CancellationToken, Context};
use http::StatusCode;

use crate::forward::{Forwarder, resolvers};
use crate::index::SERVICE_NAME;
use crate::metrics::METRICS;
use crate::options::Options;
use crate::resolve::Zone;
use crate::server::{Handler, listen};

/// Runs the server until shutdown.
///
/// # Errors
/// When it cannot start: a port is taken, no apiserver is configured.
pub async fn run(options: Options, context: Context) -> anyhow::Result<()> {
    let address = listen_address(&options.listen).context("--listen has been checked")?;
    let zone = Zone {
        domain: options.domain().context("--cluster-domain has been checked")?,
        ttl: options.ttl,
        serial: SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs() as u32),
        service: options.service_name(),
    };
    let forwarder = Forwarder::new(upstream(&options, address.port()));
    let handler = Arc::new(Handler::new(zone, forwarder));
    serve_pages(&options, &handler, &context.shutdown);

    let connection = client::connect::Options::daemon(&options.connection, context.daemon.name);
    let informers = Informers::new(client::connect(&connection).await?, context.shutdown.clone());
    informers.transform::<Service>(trim_service);
    informers.transform::<EndpointSlice>(trim_slice);
    let services = informers.all::<Service>().subscribe();
    let slices = informers.all::<EndpointSlice>().subscribe();

    let serving = CancellationToken::new();
    let bound = listen_on(&handler, address, options.listen.starts_with(':'), &serving).await?;
    tracing::info!(address = %bound, "answering DNS questions");
    follow(&handler, &informers, services, slices, &context.shutdown).await;
    // Endpoints are removed before the signal comes, but nodes hear of it a moment later.
    tracing::info!(lameduck = %options.lameduck, "ending; answering until others have stopped asking");
    tokio::time::sleep(options.lameduck.0).await;
    serving.cancel();
    Ok(())
}

/// Listens on `address`; on all addresses of both families where that is asked for and the kernel has IPv6.
async fn listen_on(
    handler: &Arc<Handler>,
    address: SocketAddr,
    everywhere: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<SocketAddr> {
    if everywhere && std::path::Path::new("/proc/net/if_inet6").exists() {
        let both = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), address.port());
        match listen(Arc::clone(handler), both, shutdown.clone()).await {
            Ok(bound) => return Ok(bound),
            Err(error) => tracing::debug!(%error, "cannot listen on IPv6; taking IPv4 alone"),
        }
    }
    listen(Arc::clone(handler), address, shutdown.clone())
        .await
        .with_context(|| format!("cannot listen on {address}"))
        .cure("choose another --listen, or run with the right to bind ports below 1024")
}

/// Takes changes in until shutdown.
async fn follow(
    handler: &Handler,
    informers: &Informers,
    mut services: Subscription<Service>,
    mut slices: Subscription<EndpointSlice>,
    shutdown: &CancellationToken,
) {
    let mut synced = Box::pin(informers.synced());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            complete = &mut synced, if !handler.is_complete() => {
                if !complete {
                    return;
                }
                while let Some(change) = services.try_next() {
                    take_service(handler, &change);
                }
                while let Some(change) = slices.try_next() {
                    take_slice(handler, &change);
                }
                handler.set_complete();
                tracing::info!(services = METRICS.services.get(), "ready");
            }
            change = services.next() => take_service(handler, &change),
            change = slices.next() => take_slice(handler, &change),
        }
    }
}

fn take_service(handler: &Handler, change: &client::Change<Service>) {
    handler.update(|index| {
        match &change.new {
            Some(service) => index.apply_service(service),
            None => index.delete_service(&change.key.namespace, &change.key.name),
        }
        METRICS.services.set(index.len() as i64);
    });
}

fn take_slice(handler: &Handler, change: &client::Change<EndpointSlice>) {
    handler.update(|index| match &change.new {
        Some(slice) => index.apply_slice(slice),
        None => index.delete_slice(&change.key.namespace, &change.key.name),
    });
}

/// Whom to ask about names outside the cluster: `--forward`, else the resolvers of the host, without this server itself.
fn upstream(options: &Options, port: u16) -> Vec<SocketAddr> {
    let ours = own_addresses();
    let ourselves = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ours.contains(&ip);
    let found = if options.forward.is_empty() {
        match std::fs::read_to_string(&options.resolv_conf) {
            Ok(text) => resolvers(&text, |ip| port == 53 && ourselves(ip)),
            Err(error) => {
                tracing::warn!(file = %options.resolv_conf.display(), %error, "cannot read the resolvers of the host");
                Vec::new()
            }
        }
    } else {
        options.resolvers().into_iter().filter(|to| !(to.port() == port && ourselves(to.ip()))).collect()
    };
    if found.is_empty() {
        tracing::warn!(
            "no resolvers for names outside the cluster (loopback and own addresses do not count); give --forward"
        );
    } else {
        tracing::info!(resolvers = ?found, "names outside the cluster are asked of others");
    }
    found
}

fn own_addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    });
    addresses.collect()
}

fn serve_pages(options: &Options, handler: &Arc<Handler>, shutdown: &CancellationToken) {
    let health = Pages::new(|path| match path {
        "/health" | "/healthz" | "/livez" => pages::text(StatusCode::OK, "OK"),
        _ => pages::not_found(),
    });
    let (state, ending) = (Arc::clone(handler), shutdown.clone());
    let ready = Pages::new(move |path| match (path, state.is_complete() && !ending.is_cancelled()) {
        ("/ready" | "/readyz", true) => pages::text(StatusCode::OK, "OK"),
        ("/ready" | "/readyz", false) => {
            pages::text(StatusCode::SERVICE_UNAVAILABLE, "waiting for Services and EndpointSlices\n")
        }
        _ => pages::not_found(),
    });
    let metrics = Pages::new(|path| match path {
        "/metrics" => component::metrics::respond(),
        _ => pages::not_found(),
    });
    for (address, pages, what) in [
        (&options.health_address, health, "/health"),
        (&options.ready_address, ready, "/ready"),
        (&options.metrics_address, metrics, "/metrics"),
    ] {
        if let Some(address) = listen_address(address) {
            pages.spawn(address, what, shutdown.clone());
        }
    }
}

/// What is left out is never read here; what stays gives back the room that decoding took in advance, which is most of it.
fn trim_service(service: &mut Service) {
    service.metadata.annotations = None;
    service.metadata.labels = None;
    service.metadata.owner_references = None;
    service.status = None;
    if let Some(spec) = &mut service.spec {
        spec.selector = None;
        spec.ip_families = None;
        spec.ports.iter_mut().for_each(Vec::shrink_to_fit);
        spec.cluster_ips.iter_mut().for_each(Vec::shrink_to_fit);
    }
}

fn trim_slice(slice: &mut EndpointSlice) {
    slice.metadata.annotations = None;
    slice.metadata.owner_references = None;
    if let Some(labels) = &mut slice.metadata.labels {
        labels.retain(|name, _| name == SERVICE_NAME);
    }
    for endpoint in slice.endpoints.iter_mut().flatten() {
        endpoint.target_ref = None;
        endpoint.zone = None;
        endpoint.node_name = None;
        endpoint.hints = None;
        endpoint.addresses.shrink_to_fit();
    }
    slice.endpoints.iter_mut().for_each(Vec::shrink_to_fit);
    slice.ports.iter_mut().for_each(Vec::shrink_to_fit);
}
