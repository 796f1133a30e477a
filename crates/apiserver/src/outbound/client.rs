//! A pooled HTTP client of one destination.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;

use super::{ConnectError, Destination, Resolve, Stream, connect, words};

/// Answers longer than this are cut off with an error: what webhooks say is read into memory.
const LONGEST_ANSWER: usize = 16 << 20;
/// Connections kept for the next call.
const IDLE_CONNECTIONS: usize = 16;

/// Why a call brought no answer of use.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// There was no answer.
    #[error("{verb} \"{url}\": {why}")]
    NoAnswer {
        /// `Get` or `Post`.
        verb: &'static str,
        /// Where the call went.
        url: String,
        /// What happened.
        why: String,
        /// Whether the time was up.
        timed_out: bool,
    },
    /// The answer was no success.
    #[error("{why}")]
    Refused {
        /// Its code.
        code: u16,
        /// What the code means, in client-go's words.
        why: String,
    },
}

/// A body that is there already, or that a client of ours is still sending.
type RequestBody = Either<Full<Bytes>, Incoming>;

/// Calls one destination over connections that are kept.
#[derive(Clone)]
pub struct Client {
    pool: Pool<Connector, RequestBody>,
    origin: String,
    path: String,
    headers: HeaderMap,
}

impl Client {
    /// A client without connections yet.
    pub fn new(destination: Destination, tls: Arc<ClientConfig>, resolver: Arc<dyn Resolve>) -> Self {
        let (origin, path) = (destination.origin(), destination.path().to_owned());
        let connector = Connector { destination: Arc::new(destination), tls, resolver };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self { pool, origin, path, headers: HeaderMap::new() }
    }

    /// Sends a header with every call: credentials.
    #[must_use]
    pub fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// `https://host:port`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Passes on a request that came in; the answer's body is read by whoever wants it, however long that takes.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn forward(&self, request: Request<Incoming>) -> Result<Response<Incoming>, ConnectError> {
        let sent = self.pool.request(request.map(Either::Right)).await;
        sent.map_err(|error| ConnectError(why(&error)))
    }

    /// The URL of calls, with a query (without `?`) if that is not empty.
    pub fn url(&self, query: &str) -> String {
        match query {
            "" => format!("{}{}", self.origin, self.path),
            query => format!("{}{}?{query}", self.origin, self.path),
        }
    }

    /// Posts JSON and returns the body of a successful answer.
    ///
    /// # Errors
    /// No answer within `limit`, or one that is no success.
    pub async fn post(&self, query: &str, json: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        let url = self.url(query);
        let (status, body) = self.send(Method::POST, "Post", url, json, limit).await?;
        answer(status, body)
    }

    /// Gets `path_and_query` of the destination and returns the code and the body, whatever the code.
    ///
    /// # Errors
    /// No answer within `limit`.
    pub async fn get(&self, path_and_query: &str, limit: Duration) -> Result<(StatusCode, Bytes), CallError> {
        let url = format!("{}{path_and_query}", self.origin);
        self.send(Method::GET, "Get", url, Bytes::new(), limit).await
    }

    /// Sends one request with headers of its own and returns code, headers and body, whatever the code.
    ///
    /// # Errors
    /// No answer within `limit`.
    pub async fn fetch(
        &self,
        path_and_query: &str,
        headers: &HeaderMap,
        limit: Duration,
    ) -> Result<(http::response::Parts, Bytes), CallError> {
        let url = format!("{}{path_and_query}", self.origin);
        let mut request = self.request(Method::GET, "Get", &url, Bytes::new())?;
        request.headers_mut().extend(headers.clone());
        self.exchange("Get", url, request, limit).await
    }

    async fn send(
        &self,
        method: Method,
        verb: &'static str,
        url: String,
        body: Bytes,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let request = self.request(method, verb, &url, body)?;
        let (parts, body) = self.exchange(verb, url, request, limit).await?;
        Ok((parts.status, body))
    }

    fn request(
        &self,
        method: Method,
        verb: &'static str,
        url: &str,
        body: Bytes,
    ) -> Result<Request<RequestBody>, CallError> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(headers) = request.headers_mut() {
            headers.insert(USER_AGENT, HeaderValue::from_static("kube-apiserver-admission"));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
            if !body.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            headers.extend(self.headers.clone());
        }
        request.body(Either::Left(Full::new(body))).map_err(|error| CallError::NoAnswer {
            verb,
            url: url.to_owned(),
            why: error.to_string(),
            timed_out: false,
        })
    }

    async fn exchange(
        &self,
        verb: &'static str,
        url: String,
        request: Request<RequestBody>,
        limit: Duration,
    ) -> Result<(http::response::Parts, Bytes), CallError> {
        let exchange = async {
            let response = self.pool.request(request).await.map_err(|error| why(&error))?;
            let (parts, body) = response.into_parts();
            let body =
                Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| error.to_string())?;
            Ok((parts, body.to_bytes()))
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(why)) => Err(CallError::NoAnswer { verb, url, why, timed_out: false }),
            Err(_) => Err(CallError::NoAnswer {
                verb,
                url,
                why: "context deadline exceeded".to_owned(),
                timed_out: true,
            }),
        }
    }
}

fn answer(status: StatusCode, body: Bytes) -> Result<Bytes, CallError> {
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    Err(CallError::Refused { code: status.as_u16(), why: words::refusal(status, text.trim()) })
}

/// The cause of a failure: that of the connection if there was none.
fn why(error: &legacy::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(current) = cause {
        if let Some(connecting) = current.downcast_ref::<ConnectError>() {
            return connecting.to_string();
        }
        if current.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return "EOF".to_owned();
        }
        last = current.to_string();
        cause = current.source();
    }
    last
}

/// Makes the connections of a pool.
#[derive(Clone)]
struct Connector {
    destination: Arc<Destination>,
    tls: Arc<ClientConfig>,
    resolver: Arc<dyn Resolve>,
}

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Connector { destination, tls, resolver } = self.clone();
        Box::pin(async move {
            connect(&destination, &tls, &*resolver).await.map(|stream| Wire(TokioIo::new(stream)))
        })
    }
}

/// A connection as the pool wants it.
struct Wire(TokioIo<Box<dyn Stream>>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
