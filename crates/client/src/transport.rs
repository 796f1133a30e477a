//! The HTTP stack under [`kube::Client`]: one HTTP/2 connection for everything, HTTP/1.1 for upgrades.
//!
//! kube's own stack opens a TLS connection per watch; a controller manager watches fifty resources, so we multiplex.
//! When client certificate files change, new requests go over a new connection.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue, UPGRADE, USER_AGENT};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client as HyperClient, Error as HyperError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::{Body, ConfigExt};
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::connect;

/// How often the kubeconfig's certificate files are looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(30);

pub(crate) fn client(
    config: kube::Config,
    user_agent: &str,
    reload: Option<connect::Options>,
) -> Result<kube::Client, kube::Error> {
    let pools = Arc::new(RwLock::new(Pools::new(&config)?));
    if let Some(options) = reload {
        let files = credential_files(&options);
        if !files.is_empty() {
            tokio::spawn(follow(options, files, Arc::downgrade(&pools)));
        }
    }
    let agent = HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("coxswain"));
    let namespace = config.default_namespace.clone();
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(config.extra_headers_layer()?)
        .option_layer(config.auth_layer()?)
        .map_request(move |mut request: Request<Body>| {
            request.headers_mut().entry(USER_AGENT).or_insert_with(|| agent.clone());
            request
        })
        .map_err(BoxError::from)
        .service(Transport { pools });
    Ok(kube::Client::new(service, namespace))
}

/// A bearer token that is replaced before it expires; `None` until the first one is there.
pub(crate) type Bearer = Arc<RwLock<Option<HeaderValue>>>;

/// Connections to a server without credentials of their own; each client over them brings its token.
#[derive(Clone)]
pub(crate) struct Anonymous {
    config: kube::Config,
    pools: Arc<RwLock<Pools>>,
}

impl Anonymous {
    /// The server of `config`, trusted as `config` says.
    pub(crate) fn new(mut config: kube::Config) -> Result<Self, kube::Error> {
        config.auth_info = kube::config::AuthInfo::default();
        let pools = Arc::new(RwLock::new(Pools::new(&config)?));
        Ok(Self { config, pools })
    }

    /// A client that shows `bearer` with every request.
    pub(crate) fn client(&self, user_agent: &str, bearer: Bearer) -> Result<kube::Client, kube::Error> {
        let agent = HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("coxswain"));
        let service = ServiceBuilder::new()
            .layer(self.config.base_uri_layer())
            .layer(self.config.extra_headers_layer()?)
            .map_request(move |mut request: Request<Body>| {
                request.headers_mut().entry(USER_AGENT).or_insert_with(|| agent.clone());
                if let Some(token) = &*bearer.read() {
                    request.headers_mut().insert(AUTHORIZATION, token.clone());
                }
                request
            })
            .map_err(BoxError::from)
            .service(Transport { pools: Arc::clone(&self.pools) });
        Ok(kube::Client::new(service, self.config.default_namespace.clone()))
    }
}

type Pool = HyperClient<Connector, Body>;

/// The same server twice: multiplexed, and upgradeable.
#[derive(Clone)]
struct Pools {
    multiplexed: Pool,
    upgradeable: Pool,
}

impl Pools {
    fn new(config: &kube::Config) -> Result<Self, kube::Error> {
        let tls = if config.cluster_url.scheme_str() == Some("http") {
            None
        } else {
            Some(config.rustls_client_config()?)
        };
        let pool = |protocols: &[&[u8]]| {
            let tls = tls.clone().map(|mut tls| {
                tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
                Arc::new(tls)
            });
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(config.connect_timeout);
            http.set_keepalive(Some(Duration::from_secs(30)));
            let name = config.tls_server_name.clone();
            HyperClient::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .http2_keep_alive_interval(Duration::from_secs(30))
                .http2_keep_alive_timeout(Duration::from_secs(15))
                .http2_initial_stream_window_size(256 * 1024)
                .http2_initial_connection_window_size(4 * 1024 * 1024)
                .http2_max_send_buf_size(64 * 1024)
                .build(Connector { http, tls, name })
        };
        Ok(Self { multiplexed: pool(&[b"h2", b"http/1.1"]), upgradeable: pool(&[b"http/1.1"]) })
    }
}

/// Sends each request through the pool that can carry it.
#[derive(Clone)]
struct Transport {
    pools: Arc<RwLock<Pools>>,
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = HyperError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, HyperError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HyperError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pools = self.pools.read();
        let pool =
            if request.headers().contains_key(UPGRADE) { &pools.upgradeable } else { &pools.multiplexed };
        Box::pin(pool.clone().oneshot(request))
    }
}

/// Certificate and key files that the kubeconfig names.
fn credential_files(options: &connect::Options) -> Vec<PathBuf> {
    let Some(path) = &options.kubeconfig else { return Vec::new() };
    let Ok(file) = kube::config::Kubeconfig::read_from(path) else { return Vec::new() };
    let users = file.auth_infos.into_iter().filter_map(|user| user.auth_info);
    let mut files: Vec<PathBuf> = users
        .flat_map(|user| [user.client_certificate, user.client_key])
        .flatten()
        .map(PathBuf::from)
        .collect();
    files.push(path.clone());
    files
}

/// Swaps the pools when a credential file has new contents, until the client is gone.
async fn follow(options: connect::Options, files: Vec<PathBuf>, pools: std::sync::Weak<RwLock<Pools>>) {
    let read = || files.iter().map(|file| std::fs::read(file).ok()).collect::<Vec<_>>();
    let mut seen = read();
    loop {
        tokio::time::sleep(RELOAD_PERIOD).await;
        let Some(pools) = pools.upgrade() else { return };
        let now = read();
        if now == seen || now.iter().any(Option::is_none) {
            continue;
        }
        let fresh = match connect::config(&options).await {
            Ok(config) => Pools::new(&config).map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        match fresh {
            Ok(fresh) => {
                tracing::info!("client credentials changed; new requests use a new connection");
                *pools.write() = fresh;
                seen = now;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "changed client credentials cannot be used yet")
            }
        }
    }
}

/// TCP, then TLS when the server speaks it.
#[derive(Clone)]
struct Connector {
    http: HttpConnector,
    tls: Option<Arc<rustls::ClientConfig>>,
    name: Option<String>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = self.name.clone().unwrap_or_else(|| uri.host().unwrap_or_default().to_owned());
        let connecting = self.http.call(uri);
        let tls = self.tls.clone();
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            let Some(tls) = tls else { return Ok(TokioIo::new(Stream::Plain(tcp))) };
            let name = rustls::pki_types::ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
            let handshake = tokio_rustls::TlsConnector::from(tls).connect(name, tcp);
            let stream = tokio::time::timeout(Duration::from_secs(10), handshake).await??;
            Ok(TokioIo::new(Stream::Tls(Box::new(stream))))
        })
    }
}

/// A connection to the apiserver.
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
