//! The small HTTP service that every daemon without an API of its own offers: health, metrics, version.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::health::Health;
use crate::metrics;

/// Decides who may read what. The `client` crate has one that asks the apiserver (TokenReview, SubjectAccessReview).
#[async_trait]
pub trait Gatekeeper: Send + Sync + 'static {
    /// `Ok` to let the request pass, else the status and text to answer with. `request` carries [`crate::serve::Peer`]
    /// in its extensions.
    async fn admit(&self, request: &http::request::Parts) -> Result<(), (StatusCode, String)>;
}

/// Extra `GET` paths of a daemon.
pub type Page = Arc<dyn Fn() -> Response<Full<Bytes>> + Send + Sync>;

/// A tower service for [`crate::serve::Server::serve`].
#[derive(Clone)]
pub struct Endpoints {
    inner: Arc<Inner>,
}

struct Inner {
    health: Health,
    gatekeeper: Option<Arc<dyn Gatekeeper>>,
    pages: Vec<(String, Page)>,
}

impl Endpoints {
    /// Health and metrics for everybody who can connect; add a gatekeeper before serving beyond the host.
    pub fn new(health: Health) -> Self {
        Self { inner: Arc::new(Inner { health, gatekeeper: None, pages: Vec::new() }) }
    }

    /// Asks `gatekeeper` before anything is answered.
    pub fn guarded(health: Health, gatekeeper: Arc<dyn Gatekeeper>, pages: Vec<(String, Page)>) -> Self {
        Self { inner: Arc::new(Inner { health, gatekeeper: Some(gatekeeper), pages }) }
    }

    async fn answer(inner: &Inner, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, _body) = request.into_parts();
        if let Some(gatekeeper) = &inner.gatekeeper
            && let Err((status, text)) = gatekeeper.admit(&parts).await
        {
            return plain(status, text);
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here\n".to_owned());
        }
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
        if path == "/metrics" {
            return metrics::respond();
        }
        if let Some((_, page)) = inner.pages.iter().find(|(at, _)| at == path) {
            return page();
        }
        match inner.health.respond(path, query).await {
            Some(response) => response,
            None => plain(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        }
    }
}

impl tower::Service<Request<Incoming>> for Endpoints {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(Self::answer(&inner, request).await) })
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
