//! A small HTTPS server that a test decides about: webhooks, and a toy aggregated API server.

use std::convert::Infallible;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rcgen::{CertifiedIssuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::server::serving;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Value,
}

/// Answers a request: code and body.
pub type Respond = dyn Fn(&Seen) -> (u16, Value) + Send + Sync;

/// A running server; ends with the test.
pub struct HookServer {
    pub port: u16,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl HookServer {
    /// Serves 127.0.0.1 under a certificate of `authority` for `names` and that address.
    pub async fn start(
        authority: &CertifiedIssuer<'static, KeyPair>,
        names: &[&str],
        respond: Arc<Respond>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, key) = serving(authority, &[names, &["127.0.0.1"]].concat());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, log, respond) = (acceptor.clone(), Arc::clone(&log), Arc::clone(&respond));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service =
                        service_fn(|request| answer(request, Arc::clone(&log), Arc::clone(&respond)));
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    serving.with_upgrades().await.ok();
                });
            }
        });
        Self { port, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock())
    }
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Seen>>>,
    respond: Arc<Respond>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path().ends_with("/echo") {
        return Ok(echo(request));
    }
    if request.uri().query().is_some_and(|query| query.contains("watch=1")) {
        return Ok(trickle());
    }
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let seen = Seen {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    let (code, body) = respond(&seen);
    log.lock().push(seen);
    let mut response = Response::builder().status(code).header("content-type", "application/json");
    if code == 302 {
        response = response.header("location", "https://127.0.0.1:1/elsewhere");
    }
    Ok(response.body(Full::new(Bytes::from(body.to_string())).boxed_unsync()).unwrap())
}

/// Switches protocols, and sends back what comes in.
fn echo(request: Request<Incoming>) -> Response<Body> {
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
        tokio::io::copy(&mut reader, &mut writer).await.ok();
    });
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
    response.body(Full::new(Bytes::new()).boxed_unsync()).unwrap()
}

/// One event at once, and then nothing for ever.
fn trickle() -> Response<Body> {
    let event = stream::once(async { Ok(Frame::data(Bytes::from("{\"type\":\"ADDED\"}\n"))) });
    Response::new(StreamBody::new(event.chain(stream::pending())).boxed_unsync())
}
