//! The server: what it is made of, and how it starts and stops.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::authn::{self, Authenticator, RequestHeaders};
use access::authz::{Authorizer, NodeGraph, Rbac};
use anyhow::Context as _;
use component::health::Health;
use component::{CancellationToken, serve};
use serde_json::{Value, json};

use crate::access_config;
use crate::admission::Reader;
use crate::admission::policy::Policies;
use crate::admission::webhook::Webhooks;
use crate::aggregation::Aggregator;
use crate::allocation::Allocators;
use crate::custom::Definitions;
use crate::filters::{self, InFlight, Peers};
use crate::flowcontrol::FlowControl;
use crate::openapi::Documents;
use crate::options::Options;
use crate::outbound::Resolver;
use crate::registry::{Registry, Settings};
use crate::start;
use crate::stores::Stores;
use crate::tokens::Tokens;

/// The port when `--secure-port` is not given.
const DEFAULT_PORT: u16 = 6443;

/// Everything that handlers share.
pub struct Server {
    /// The command line.
    pub options: Options,
    /// The resources.
    pub registry: Arc<Registry>,
    /// Who is asking.
    pub authenticator: Authenticator,
    /// May they.
    pub authorizer: Arc<Authorizer>,
    /// Roles and bindings.
    pub rbac: Arc<Rbac>,
    /// What kubelets may see.
    pub nodes: Arc<NodeGraph>,
    /// What is known of custom resources.
    pub definitions: Arc<Definitions>,
    /// Group versions that other servers serve.
    pub aggregator: Arc<Aggregator>,
    /// Admission policies.
    pub policies: Arc<Policies>,
    /// Admission webhooks.
    pub webhooks: Arc<Webhooks>,
    /// Finds the services behind extensions.
    pub resolver: Arc<Resolver>,
    /// Service account tokens.
    pub tokens: Tokens,
    /// `/healthz`, `/livez`, `/readyz`.
    pub health: Health,
    /// Client certificates of open connections.
    pub peers: Peers,
    /// Limits of requests at once, without priority and fairness.
    pub in_flight: InFlight,
    /// Priority and fairness.
    pub flow_control: Option<Arc<FlowControl>>,
    /// OpenAPI documents that were asked for.
    pub openapi: Documents,
    /// Cancelled when the server has to stop.
    pub shutdown: CancellationToken,
    /// Whether the server was told to stop.
    pub stopping: AtomicBool,
    /// Address and port for others.
    pub advertised: SocketAddr,
}

/// Runs kube-apiserver to its end.
///
/// # Errors
/// The configuration cannot work: files, addresses, modes. What waits for etcd says so and goes on waiting.
pub async fn run(options: Options, context: component::Context) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let delay = options.generic.shutdown_delay_duration.0;
    let listener = bind(&options).await?;
    let server = tokio::select! {
        built = build(options, listener.local_addr(), shutdown.clone()) => built?,
        () = context.shutdown.cancelled() => return Ok(()),
    };
    start::background(&server);
    tokio::spawn(stop_after_delay(Arc::clone(&server), context.shutdown.clone(), delay));
    let service = {
        let server = Arc::clone(&server);
        tower::service_fn(move |request| filters::serve(Arc::clone(&server), request))
    };
    // Bootstrap objects are made while requests are answered already; /readyz says when they are there.
    start::bootstrap(&server)?;
    listener.serve(service, shutdown).await;
    Ok(())
}

/// From the signal on the server is not ready; it goes on serving until load balancers have had the time to notice.
async fn stop_after_delay(server: Arc<Server>, signal: CancellationToken, delay: Duration) {
    signal.cancelled().await;
    server.stopping.store(true, Ordering::Release);
    tokio::time::sleep(delay).await;
    server.shutdown.cancel();
}

async fn bind(options: &Options) -> anyhow::Result<serve::Server> {
    let mut config = options
        .serving
        .config(DEFAULT_PORT, "apiserver")
        .context("--secure-port 0 leaves nothing to serve; choose a port")?;
    if let Some(tls) = &mut config.tls {
        let service = crate::addresses::first_of_range(&options.cluster.service_cluster_ip_range);
        tls.names.extend(
            [
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ]
            .map(str::to_owned),
        );
        tls.names.extend(service.map(|ip| ip.to_string()));
        tls.names.extend(options.cluster.advertise_address.map(|ip| ip.to_string()));
    }
    serve::Server::bind(config).await.context("cannot serve HTTPS")
}

async fn build(
    options: Options,
    local: SocketAddr,
    shutdown: CancellationToken,
) -> anyhow::Result<Arc<Server>> {
    let advertised = SocketAddr::new(advertise_address(&options, local.ip()), local.port());
    let tokens = Tokens::load(&options.service_accounts, &advertised.to_string())?;
    let rbac = Arc::new(Rbac::new());
    let nodes = Arc::new(NodeGraph::new(crate::bootstrap_objects::node_rules()));
    let authorizer = access_config::authorizer(&options.authorization, &rbac, &nodes)?;
    let authorizer = Arc::new(authorizer);
    let stores = Stores::connect(&options.etcd).await?;
    let cluster = &options.cluster;
    let allocators =
        Allocators::new(stores.main(), &cluster.service_cluster_ip_range, &cluster.service_node_port_range)?;
    let registry = Registry::new(
        stores,
        allocators,
        Arc::clone(&authorizer),
        Settings {
            event_ttl: options.etcd.event_ttl.0,
            garbage_collector: options.generic.enable_garbage_collector,
            allow_privileged: options.cluster.allow_privileged,
            min_watch_secs: options.generic.min_request_timeout,
        },
    );
    start::add_builtin(&registry, &options)?;
    let lookup: Arc<dyn access::Lookup> = registry.clone();
    let authenticator = Authenticator::load(authentication(&options, &tokens)?, lookup)?;
    let health = Health::new();
    let resolver = Arc::new(Resolver {
        objects: Arc::downgrade(&(registry.clone() as Arc<dyn Reader>)),
        by_endpoint: options.generic.enable_aggregator_routing,
        own: SocketAddr::new(loopback(local.ip()), local.port()),
    });
    let flags = &options.authentication;
    let identity = flags.proxy_client_cert_file.clone().zip(flags.proxy_client_key_file.clone());
    let aggregator = Aggregator::new(identity, resolver.clone())
        .context("cannot read --proxy-client-cert-file or --proxy-client-key-file")?;
    let aggregator = Arc::new(aggregator);
    let policies = Policies::new(registry.clone(), Arc::clone(&authorizer));
    let webhooks =
        Webhooks::new(resolver.clone(), registry.clone(), registry.clone(), Arc::clone(&authorizer));
    let generic = &options.generic;
    let seats = generic.max_requests_inflight + generic.max_mutating_requests_inflight;
    let server = Arc::new(Server {
        flow_control: generic.enable_priority_and_fairness.then(|| FlowControl::new(seats)),
        in_flight: InFlight::new(
            options.generic.max_requests_inflight,
            options.generic.max_mutating_requests_inflight,
        ),
        options,
        registry,
        authenticator,
        authorizer,
        rbac,
        nodes,
        definitions: Arc::default(),
        aggregator,
        policies,
        webhooks,
        resolver,
        tokens,
        health,
        peers: Peers::default(),
        openapi: Documents::default(),
        shutdown,
        stopping: AtomicBool::new(false),
        advertised,
    });
    start::add_health_checks(&server);
    start::set_admission(&server)?;
    Ok(server)
}

fn authentication(options: &Options, tokens: &Tokens) -> anyhow::Result<authn::Config> {
    let flags = &options.authentication;
    let (anonymous, token_webhook) = access_config::authentication(flags)?;
    Ok(authn::Config {
        client_ca_file: flags.client_ca_file.clone(),
        request_headers: request_headers(options),
        token_auth_file: flags.token_auth_file.clone(),
        bootstrap_tokens: flags.enable_bootstrap_token_auth,
        service_accounts: Some(Arc::clone(&tokens.verifier)),
        api_audiences: tokens.audiences.clone(),
        token_webhook,
        anonymous: anonymous.enabled,
        anonymous_paths: anonymous.paths,
    })
}

/// The `--requestheader-*` flags, when a front proxy is trusted.
pub fn request_headers(options: &Options) -> Option<RequestHeaders> {
    let flags = &options.authentication;
    flags.requestheader_client_ca_file.clone().map(|client_ca_file| RequestHeaders {
        client_ca_file,
        allowed_names: flags.requestheader_allowed_names.clone(),
        username_headers: flags.requestheader_username_headers.clone(),
        uid_headers: flags.requestheader_uid_headers.clone(),
        group_headers: flags.requestheader_group_headers.clone(),
        extra_header_prefixes: flags.requestheader_extra_headers_prefix.clone(),
    })
}

/// The address for others: the flag, else the one bound to, else that of the interface towards the world.
fn advertise_address(options: &Options, bound: IpAddr) -> IpAddr {
    options.cluster.advertise_address.unwrap_or_else(|| match bound.is_unspecified() || bound.is_loopback() {
        false => bound,
        true => crate::addresses::outbound().unwrap_or(bound),
    })
}

/// The address by which this host reaches what is bound to `bound`.
fn loopback(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

impl Server {
    /// `/version`
    pub fn version(&self) -> Value {
        use component::version;
        json!({
            "major": version::MAJOR,
            "minor": version::MINOR,
            "emulationMajor": version::MAJOR,
            "emulationMinor": version::MINOR,
            "minCompatibilityMajor": version::MAJOR,
            "minCompatibilityMinor": "35",
            "gitVersion": version::GIT_VERSION,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "",
            "goVersion": "",
            "compiler": "rustc",
            "platform": "linux/amd64",
        })
    }

    /// `/`: every path that is not a resource.
    pub fn root_paths(&self) -> Vec<String> {
        start::root_paths(self)
    }

    /// `host:port` for others.
    pub fn advertised(&self) -> String {
        self.advertised.to_string()
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        self.options.generic.request_timeout.0
    }
}
