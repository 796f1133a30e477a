//! The accept loop: one task per connection, bounded in number, ended gracefully.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::certificate::Acceptor;
use super::{Config, Peer};

/// How often certificate files are looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn run<S, B>(
    listener: TcpListener,
    tls: Option<Arc<Acceptor>>,
    config: Config,
    service: S,
    shutdown: CancellationToken,
) where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let connections = TaskTracker::new();
    let mut reload = tokio::time::interval(RELOAD_PERIOD);
    reload.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        // The semaphore is never closed.
        let Ok(slot) = slot else { break };
        let accepted = loop {
            tokio::select! {
                () = shutdown.cancelled() => break None,
                _ = reload.tick(), if tls.is_some() => {
                    if let Some(tls) = &tls { tls.reload() }
                }
                accepted = listener.accept() => break Some(accepted),
            }
        };
        let (stream, address) = match accepted {
            None => break,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                // Out of file descriptors, mostly: give others time to close some.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, config, service, shutdown) =
            (tls.clone(), config.clone(), service.clone(), shutdown.clone());
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection(stream, address, tls, &config, service, shutdown).await {
                tracing::debug!(peer = %address, error = %error, "connection ended");
            }
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(config.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections still open after the drain time were cut");
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    address: std::net::SocketAddr,
    tls: Option<Arc<Acceptor>>,
    config: &Config,
    service: S,
    shutdown: CancellationToken,
) -> Result<(), BoxError>
where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let mut peer = Peer { address, local, secure: tls.is_some(), certificates: Arc::new([]) };
    let Some(tls) = tls else {
        return http(TokioIo::new(stream), peer, config, service, shutdown).await;
    };
    let stream = tokio::time::timeout(config.header_timeout, tls.tls.accept(stream)).await??;
    let (_, session) = stream.get_ref();
    if let Some(chain) = session.peer_certificates() {
        peer.certificates = chain.iter().map(|cert| cert.clone().into_owned()).collect();
    }
    http(TokioIo::new(stream), peer, config, service, shutdown).await
}

async fn http<I, S, B>(
    io: I,
    peer: Peer,
    config: &Config,
    service: S,
    shutdown: CancellationToken,
) -> Result<(), BoxError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let handler = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        service.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    let connection = builder.serve_connection_with_upgrades(io, handler);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
