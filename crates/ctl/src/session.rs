//! One command's connection: the server, the namespace, and the requests that verbs make.

use std::sync::OnceLock;
use std::time::Duration;

use client::kube::client::Body;
use client::kube::core::Status;
use client::kube::{self, Client};
use http::{HeaderMap, Method, Request};
use serde_json::Value;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::kubeconfig::GlobalFlags;
use crate::resources::{ApiResource, Resources};

/// A connection, and the namespace that commands mean when they name none.
pub struct Session {
    client: Client,
    server: String,
    namespace: String,
    namespace_given: bool,
    request_timeout: Duration,
    cache: Cache,
    remembered: OnceLock<Resources>,
    fresh: OnceLock<Resources>,
}

/// How a PATCH body is to be understood.
#[derive(Clone, Copy, Debug)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, which merges lists by key.
    Strategic,
    /// RFC 6902.
    Json,
    /// Server-side apply; the field manager is in the query.
    Apply,
}

impl Session {
    /// Connects lazily: the first request finds out whether the server is there.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn open(flags: &GlobalFlags) -> Result<Self> {
        let config = flags.config().await?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let agent = format!("ctl/{} (linux/amd64) coxswain", env!("CARGO_PKG_VERSION"));
        let client = client::connect::from_config(config, &agent)?;
        let namespace = flags.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self {
            client,
            namespace,
            namespace_given: flags.namespace.is_some(),
            request_timeout: flags.request_timeout,
            cache: Cache::of(&server),
            server,
            remembered: OnceLock::new(),
            fresh: OnceLock::new(),
        })
    }

    /// How long one request may take; zero for as long as it takes.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The failure of a request that a verb made itself; `attempted` is an infinitive without "to".
    pub fn failure(&self, attempted: impl Into<String>, error: kube::Error) -> Error {
        let address = self.server.split_once("://").map_or(self.server.as_str(), |(_, address)| address);
        crate::unreachable::failure(address, attempted.into(), error)
    }

    /// The namespace of this command.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace for an object of a manifest: its own, unless `-n` says otherwise.
    ///
    /// # Errors
    /// When both are given and differ.
    pub fn namespace_of<'a>(&'a self, object: &'a Value) -> Result<&'a str> {
        match object["metadata"]["namespace"].as_str() {
            Some(own) if self.namespace_given && own != self.namespace => Err(Error::Usage(format!(
                "the namespace from the provided object {own:?} does not match the namespace {:?}. \
                 You must pass '--namespace={own}' to perform this operation.",
                self.namespace
            ))),
            Some(own) => Ok(own),
            None => Ok(&self.namespace),
        }
    }

    /// The client, for streams.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the server has, as it was within the last minutes.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn resources(&self) -> Result<&Resources> {
        if let Some(known) = self.fresh.get().or(self.remembered.get()) {
            return Ok(known);
        }
        match self.cache.read() {
            Some(resources) => Ok(self.remembered.get_or_init(|| resources)),
            None => self.fresh_resources().await,
        }
    }

    /// What the server has now; asked once.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn fresh_resources(&self) -> Result<&Resources> {
        if let Some(known) = self.fresh.get() {
            return Ok(known);
        }
        const ACCEPT: &str =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let (core, groups) = futures::try_join!(self.fetch("/api", ACCEPT), self.fetch("/apis", ACCEPT))?;
        let resources = Resources::from_discovery([&core, &groups]);
        self.cache.write(&resources);
        Ok(self.fresh.get_or_init(|| resources))
    }

    /// Looks something up among what the server has; in fresh knowledge when the remembered lacks it.
    ///
    /// # Errors
    /// When the server lacks it too, or cannot be reached.
    pub async fn look_up<'a, T>(&'a self, find: impl Fn(&'a Resources) -> Result<T>) -> Result<T> {
        match find(self.resources().await?) {
            Err(_) if self.fresh.get().is_none() => find(self.fresh_resources().await?),
            found => found,
        }
    }

    /// GET as JSON.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.fetch(path, "application/json").await
    }

    /// GET as a Table.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn table(&self, path: &str) -> Result<Value> {
        self.fetch(path, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await
    }

    async fn fetch(&self, path: &str, accept: &str) -> Result<Value> {
        self.send(Method::GET, path, Some(("accept", accept)), Vec::new()).await
    }

    /// POST.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, None, body(object)?).await
    }

    /// PUT.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::PUT, path, None, body(object)?).await
    }

    /// PATCH.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn patch(&self, path: &str, kind: PatchKind, patch: &Value) -> Result<Value> {
        let content_type = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Apply => "application/apply-patch+yaml",
        };
        self.send(Method::PATCH, path, Some(("content-type", content_type)), body(patch)?).await
    }

    /// DELETE with options.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.send(Method::DELETE, path, None, body(options)?).await
    }

    /// GET as text.
    ///
    /// # Errors
    /// When the server refuses or is not reached.
    pub async fn text(&self, path: &str) -> Result<String> {
        let bytes = self.bytes(Method::GET, path, &[], Vec::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&'static str, &str)>,
        body: Vec<u8>,
    ) -> Result<Value> {
        let mut headers = Vec::from_iter(header);
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", "application/json"));
        }
        let answer = self.bytes(method, path, &headers, body).await?;
        serde_json::from_slice(&answer).map_err(Error::Json)
    }

    async fn bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let attempted = || format!("{method} {path}");
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let exchange = async {
            let request = request.body(Body::from(body)).map_err(kube::Error::HttpError)?;
            let response = self.client.send(request).await?;
            let (head, body) = response.into_parts();
            Ok((head, body.collect_bytes().await?))
        };
        let limit = if self.request_timeout.is_zero() { Duration::MAX } else { self.request_timeout };
        let Ok(answer) = tokio::time::timeout(limit, exchange).await else {
            return Err(Error::Unreachable(format!(
                "Unable to connect to the server: {} took longer than the {limit:?} of --request-timeout",
                attempted()
            )));
        };
        let (head, bytes) = answer.map_err(|error| self.failure(attempted(), error))?;
        warn(&head.headers);
        if head.status.is_success() { Ok(bytes.to_vec()) } else { Err(refused(head.status, &bytes)) }
    }

    /// One object by name.
    ///
    /// # Errors
    /// When it does not exist, or the server refuses or is not reached.
    pub async fn object(&self, resource: &ApiResource, name: &str) -> Result<Value> {
        self.get(&resource.path(Some(&self.namespace), Some(name))).await
    }
}

/// Prints the server's warnings (RFC 7234 section 5.5), such as that a version is deprecated.
fn warn(headers: &HeaderMap) {
    for value in headers.get_all("warning") {
        let text = value.to_str().unwrap_or_default();
        // 299 - "text", with quotes and backslashes escaped
        let Some((_, quoted)) = text.split_once('"') else { continue };
        let text = quoted.rsplit_once('"').map_or(quoted, |(text, _)| text);
        eprintln!("Warning: {}", text.replace("\\\"", "\"").replace("\\\\", "\\"));
    }
}

/// What a refusal says; proxies and authenticators answer with other bodies than a Status.
fn refused(code: http::StatusCode, body: &[u8]) -> Error {
    let status = serde_json::from_slice::<Status>(body).ok().filter(|status| !status.message.is_empty());
    let status = status.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body).trim().to_owned();
        let message = if text.is_empty() { code.to_string() } else { text };
        let (reason, message) = match code {
            http::StatusCode::UNAUTHORIZED => ("Unauthorized", message),
            http::StatusCode::NOT_FOUND => {
                ("NotFound", "the server could not find the requested resource".into())
            }
            _ => ("", message),
        };
        Status { code: code.as_u16(), message, reason: reason.to_owned(), ..Status::default() }
    });
    Error::Server(Box::new(status))
}

fn body(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(Error::Json)
}

/// Joins query parameters onto a path, leaving out the empty ones.
pub fn with_query(path: String, parameters: &[(&str, &str)]) -> String {
    let mut path = path;
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(name);
        path.push('=');
        path.push_str(&encode(value));
    }
    path
}

/// Percent-encodes a query value (RFC 3986).
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
