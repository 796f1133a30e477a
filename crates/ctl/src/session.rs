//! One command's connection: the server, the namespace, and the requests that verbs make.

use std::path::PathBuf;
use std::sync::OnceLock;

use client::kube::{self, Client};
use http::{Method, Request};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::resources::{ApiResource, Resources};

/// Flags that every verb takes.
#[derive(clap::Args, Clone, Debug)]
pub struct GlobalFlags {
    /// Kubeconfig file; by default $KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Address of the apiserver, instead of the kubeconfig's.
    #[arg(long, short = 's', global = true, value_name = "URL")]
    server: Option<String>,
    /// Namespace of the objects.
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    namespace: Option<String>,
}

/// A connection, and the namespace that commands mean when they name none.
pub struct Session {
    client: Client,
    namespace: String,
    namespace_given: bool,
    resources: OnceLock<Resources>,
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
        let kubeconfig = flags.kubeconfig.clone().or_else(|| {
            let home = std::env::var_os("HOME")?;
            let path = PathBuf::from(home).join(".kube/config");
            path.exists().then_some(path)
        });
        let options = client::connect::Options {
            kubeconfig,
            context: flags.context.clone(),
            master: flags.server.clone(),
            user_agent: format!("ctl/{} (linux/amd64) coxswain", env!("CARGO_PKG_VERSION")),
        };
        let client = client::connect(&options).await?;
        let namespace = flags.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self { client, namespace, namespace_given: flags.namespace.is_some(), resources: OnceLock::new() })
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

    /// What the server has; asked once.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn resources(&self) -> Result<&Resources> {
        if let Some(known) = self.resources.get() {
            return Ok(known);
        }
        const ACCEPT: &str =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let (core, groups) = futures::try_join!(self.fetch("/api", ACCEPT), self.fetch("/apis", ACCEPT))?;
        Ok(self.resources.get_or_init(|| Resources::from_discovery([&core, &groups])))
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
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
        let answer = async { self.client.request_text(request?).await };
        answer.await.map_err(|error| Error::request(format!("GET {path}"), error))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: Vec<u8>,
    ) -> Result<Value> {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some((name, value)) = header {
            if let Some(headers) = request.headers_mut() {
                headers.remove(name);
            }
            request = request.header(name, value);
        }
        let answer = async {
            let request = request.body(body).map_err(kube::Error::HttpError)?;
            self.client.request::<Value>(request).await
        };
        answer.await.map_err(|error| Error::request(format!("{method} {path}"), error))
    }

    /// One object by name.
    ///
    /// # Errors
    /// When it does not exist, or the server refuses or is not reached.
    pub async fn object(&self, resource: &ApiResource, name: &str) -> Result<Value> {
        self.get(&resource.path(Some(&self.namespace), Some(name))).await
    }
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
