//! The kubelet's server on 10250: logs, exec, attach and port-forward for the API server; pods, stats and metrics for readers.
//!
//! Every request is authenticated and authorized through the API server ([`auth`]); the read-only port, if it is on, serves
//! reading paths to everybody who can connect. Streams are piped to the container runtime's own streaming server ([`streams`]).

mod answer;
mod auth;
mod containers;
mod metrics;
mod query;
mod stats;
mod streams;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api_types::k8s::api::core::v1::Pod;
use component::endpoints::Endpoints;
use component::health::{Health, On};
use component::serve::{Certificate, Config, Server, Tls};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api::Late;
use crate::cgroups::Cgroups;
use crate::config::Configuration;
use crate::cri::Runtime;
use crate::host::Host;
use crate::pod_worker::registry::Registry;
use answer::{Answer, json_answer, text};
use query::Query;

/// What the server reads from.
pub struct State {
    /// The connection for authentication and authorization.
    pub client: Arc<Late<client::Client>>,
    /// Pods on the node.
    pub registry: Arc<Registry>,
    /// The container runtime.
    pub runtime: Runtime,
    /// The node.
    pub host: Arc<Host>,
    /// Cgroups, for usage of pods and the node.
    pub cgroups: Option<Arc<Cgroups>>,
    /// The root of the kubelet's files, for disk figures.
    pub root: PathBuf,
    /// The configuration, as /configz shows it.
    pub configuration: Configuration,
    /// --cert-dir, for a self-signed certificate.
    pub cert_dir: PathBuf,
}

/// Binds the ports; the servers run until `stop`.
pub async fn start(state: Arc<State>, stop: CancellationToken) -> Result<(), component::serve::Error> {
    let configuration = &state.configuration;
    let health = health(&state);
    if configuration.healthz_port != 0 {
        let address = SocketAddr::new(configuration.healthz_bind_address, configuration.healthz_port);
        let server = Server::bind(Config::new(address)).await?;
        tokio::spawn(server.serve(Endpoints::new(health.clone()), stop.clone()));
    }
    if !configuration.enable_server {
        return Ok(());
    }
    let mut config = Config::new(SocketAddr::new(configuration.address, configuration.port));
    config.tls = Some(tls(&state));
    let server = Server::bind(config).await?;
    let auth = Some(Arc::new(auth::Auth::new(&state)));
    let routes = Routes { state: state.clone(), health: health.clone(), auth };
    tokio::spawn(server.serve(routes, stop.clone()));
    if configuration.read_only_port != 0 {
        let address = SocketAddr::new(configuration.address, configuration.read_only_port);
        let server = Server::bind(Config::new(address)).await?;
        tokio::spawn(server.serve(Routes { state, health, auth: None }, stop));
    }
    Ok(())
}

fn tls(state: &State) -> Tls {
    let configuration = &state.configuration;
    let certificate = match (&configuration.tls_cert_file, &configuration.tls_private_key_file) {
        (Some(cert), Some(key)) => Certificate::Files { cert: cert.clone(), key: key.clone() },
        _ => Certificate::SelfSigned { dir: Some(state.cert_dir.clone()), name: "kubelet".into() },
    };
    let mut tls = Tls::new(certificate);
    tls.only_tls13 = configuration.tls_min_version == "VersionTLS13";
    tls.cipher_suites.clone_from(&configuration.tls_cipher_suites);
    tls.names = std::iter::once(state.host.name.clone()).chain(state.host.ips()).collect();
    tls
}

fn health(state: &Arc<State>) -> Health {
    let health = Health::new();
    health.add_fn("ping", On::ALL, || Ok(()));
    let host = state.host.clone();
    // A runtime that is down is the node's condition; the kubelet itself is well and must not be restarted for it.
    health.add_fn("syncloop", On::ALL, move || {
        if host.name.is_empty() { Err("no node name".into()) } else { Ok(()) }
    });
    health
}

/// The tower service of one port.
#[derive(Clone)]
struct Routes {
    state: Arc<State>,
    health: Health,
    /// `None` on the read-only port.
    auth: Option<Arc<auth::Auth>>,
}

impl tower::Service<Request<Incoming>> for Routes {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let routes = self.clone();
        Box::pin(async move { Ok(routes.answer(request).await) })
    }
}

impl Routes {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match &self.auth {
            Some(auth) => {
                if let Err(refused) = auth.admit(&parts).await {
                    return *refused;
                }
            }
            None => {
                let open =
                    matches!(segments.first(), Some(&("pods" | "metrics" | "stats" | "healthz" | "spec")));
                if !open || parts.method != Method::GET {
                    return text(StatusCode::NOT_FOUND, "404 page not found\n");
                }
            }
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let state = &self.state;
        match segments.as_slice() {
            ["pods"] => json_answer(&self.pods(|_| true)),
            ["runningpods"] => json_answer(&self.pods(|phase| phase == Some("Running"))),
            ["containerLogs", namespace, pod, container] => {
                containers::logs(state, namespace, pod, container, &query).await
            }
            ["run", namespace, pod, container] | ["run", namespace, pod, _, container]
                if parts.method == Method::POST =>
            {
                containers::run(state, namespace, pod, container, &query).await
            }
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                streams::exec(state, namespace, pod, container, &query, parts, body).await
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                streams::attach(state, namespace, pod, container, &query, parts, body).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                streams::port_forward(state, namespace, pod, &query, parts, body).await
            }
            ["stats" | "stats/", "summary"] | ["stats"] => json_answer(&stats::summary(state).await),
            ["metrics"] => metrics::own(state),
            ["metrics", "resource"] => metrics::resource(state).await,
            ["metrics", "cadvisor"] => metrics::cadvisor(state).await,
            ["metrics", "probes"] => metrics::probes(),
            ["configz"] => json_answer(&json!({"kubeletconfig": configz(&state.configuration)})),
            _ => match self.health.respond(&path, parts.uri.query().unwrap_or_default()).await {
                Some(found) => answer::boxed(found),
                None => text(StatusCode::NOT_FOUND, "404 page not found\n"),
            },
        }
    }

    /// A PodList as upstream's /pods gives it.
    fn pods(&self, wanted: impl Fn(Option<&str>) -> bool) -> serde_json::Value {
        let pods: Vec<Pod> = self
            .state
            .registry
            .list()
            .iter()
            .filter(|entry| wanted(entry.status.phase.as_deref()))
            .map(crate::pod_worker::registry::Entry::with_status)
            .collect();
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
    }
}

fn configz(configuration: &Configuration) -> serde_json::Value {
    let mut value = serde_json::to_value(configuration).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("kind".into(), json!("KubeletConfiguration"));
        map.insert("apiVersion".into(), json!("kubelet.config.k8s.io/v1beta1"));
    }
    value
}
