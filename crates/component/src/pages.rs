//! A handful of `GET` paths on a port of their own, for probes and metrics of daemons without an API.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::exit;
use crate::serve::{Config, Server};

/// Pause before a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Answers a path.
type Answer = Arc<dyn Fn(&str) -> Response<Full<Bytes>> + Send + Sync>;

/// A tower service over a function of the path.
#[derive(Clone)]
pub struct Pages(Answer);

impl Pages {
    /// Serves what `answer` gives for a path; see [`answer`] and [`not_found`].
    pub fn new(answer: impl Fn(&str) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// Listens on `address` until shutdown, in a task of its own. A port that is taken is tried again until it is free, since
    /// the daemon's work does not depend on it; each failure is logged with `what` the port is for.
    pub fn spawn(self, address: SocketAddr, what: &'static str, shutdown: CancellationToken) {
        tokio::spawn(async move {
            loop {
                match Server::bind(Config::new(address)).await {
                    Ok(server) => return server.serve(self, shutdown).await,
                    Err(error) => {
                        let error = exit::render("listen", &error.into());
                        tracing::error!(error, retry = ?RETRY, "cannot serve {what}");
                    }
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        });
    }
}

impl tower::Service<Request<Incoming>> for Pages {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        ready(Ok((self.0)(request.uri().path())))
    }
}

/// A response with a content type.
pub fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

/// A plain-text response.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

/// The answer to a path that is not served.
pub fn not_found() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An address to listen on as flags have it: `0.0.0.0:10256`, `[::]:53`, or `:8080` for all addresses.
pub fn listen_address(text: &str) -> Option<SocketAddr> {
    let any = || {
        text.strip_prefix(':')
            .and_then(|port| port.parse().ok())
            .map(|port: u16| SocketAddr::from(([0, 0, 0, 0], port)))
    };
    text.parse().ok().or_else(any)
}
