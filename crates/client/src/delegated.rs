//! Who may read a daemon's own endpoints: certificates checked against the cluster's CA, tokens by TokenReview, rights by
//! SubjectAccessReview. Answers are cached for seconds, as upstream does.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::authentication::v1::{TokenReview, TokenReviewSpec};
use api_types::k8s::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use api_types::k8s::api::core::v1::ConfigMap;
use async_trait::async_trait;
use component::endpoints::Gatekeeper;
use component::serve::Peer;
use http::StatusCode;
use http::request::Parts;
use kube::Client;
use kube::api::{Api, PostParams};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::time::Instant;

const TOKEN_TTL: Duration = Duration::from_secs(10);
const ALLOWED_TTL: Duration = Duration::from_secs(10);
const DENIED_TTL: Duration = Duration::from_secs(10);
/// Entries per cache; it is emptied when full.
const CACHE: usize = 4096;

/// A caller whose identity is proved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// User name.
    pub name: String,
    /// Uid, when the authenticator gives one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// What a caller wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// A path, such as `/metrics`.
    Path {
        /// HTTP method in lower case: `get`.
        verb: String,
        /// The path.
        path: String,
    },
    /// A resource, such as a node's `proxy` or `metrics` subresource.
    Resource {
        /// API verb.
        verb: String,
        /// API group, empty for core.
        group: String,
        /// Plural.
        resource: String,
        /// Subresource, or empty.
        subresource: String,
        /// Object name.
        name: String,
    },
}

/// Where trust comes from and what needs none.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// CA bundle for client certificates; when `None`, the cluster's own (ConfigMap kube-system/extension-apiserver-authentication).
    pub client_ca_file: Option<PathBuf>,
    /// Paths served to everybody; a trailing `*` matches the rest.
    pub always_allow_paths: Vec<String>,
    /// Whether callers without credentials are `system:anonymous` rather than refused.
    pub anonymous: bool,
}

/// A front proxy that has authenticated the caller and says who it is in headers.
#[derive(Clone, Debug, Default)]
pub struct FrontProxy {
    /// CA bundle for the proxy's own certificate.
    pub ca_file: PathBuf,
    /// Common names that the proxy may have; any when empty.
    pub allowed_names: Vec<String>,
    /// Headers with the user name, the first that is there counts.
    pub user_headers: Vec<String>,
    /// Headers with groups.
    pub group_headers: Vec<String>,
}

impl FrontProxy {
    /// From a daemon's flags; `None` when no proxy is trusted.
    pub fn new(flags: &component::flags::Authentication) -> Option<Self> {
        Some(Self {
            ca_file: flags.requestheader_client_ca_file.clone()?,
            allowed_names: flags.requestheader_allowed_names.clone(),
            user_headers: flags.requestheader_username_headers.clone(),
            group_headers: flags.requestheader_group_headers.clone(),
        })
    }

    /// The caller that the proxy names, if `peer` is the proxy.
    async fn user(&self, peer: &Peer, parts: &Parts) -> Option<User> {
        let pem = tokio::fs::read_to_string(&self.ca_file).await.ok()?;
        let (leaf, rest) = peer.certificates.split_first()?;
        verifier(&pem).ok()?.verify_client_cert(leaf, rest, UnixTime::now()).ok()?;
        let name = peer.subject()?.common_name;
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&name) {
            return None;
        }
        let values = |header: &String| -> Vec<String> {
            let all = parts.headers.get_all(header.as_str()).iter();
            all.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        let user = self.user_headers.iter().flat_map(&values).find(|value| !value.is_empty())?;
        let mut groups: Vec<String> = self.group_headers.iter().flat_map(&values).collect();
        groups.push("system:authenticated".to_owned());
        Some(User { name: user, uid: String::new(), groups })
    }
}

/// Authenticates and authorizes through the apiserver. Share it in an `Arc`.
pub struct Delegated {
    client: Client,
    options: Options,
    front_proxy: Option<FrontProxy>,
    verifier: Mutex<Option<(Instant, Arc<dyn ClientCertVerifier>)>>,
    tokens: Mutex<HashMap<String, (Instant, Option<User>)>>,
    rights: Mutex<HashMap<(User, Attributes), (Instant, bool)>>,
}

impl Delegated {
    /// Asks the apiserver that `client` talks to.
    pub fn new(client: Client, options: Options) -> Self {
        Self {
            client,
            options,
            front_proxy: None,
            verifier: Mutex::default(),
            tokens: Mutex::default(),
            rights: Mutex::default(),
        }
    }

    /// Believes a front proxy about who calls.
    #[must_use]
    pub fn with_front_proxy(mut self, proxy: Option<FrontProxy>) -> Self {
        self.front_proxy = proxy;
        self
    }

    /// Who calls. `None`: the credentials prove nothing.
    ///
    /// # Errors
    /// When the apiserver cannot be asked.
    pub async fn authenticate(&self, parts: &Parts) -> Result<Option<User>, kube::Error> {
        if let Some(peer) = parts.extensions.get::<Peer>()
            && !peer.certificates.is_empty()
        {
            let proxied = match &self.front_proxy {
                Some(proxy) => proxy.user(peer, parts).await,
                None => None,
            };
            if let Some(user) = proxied {
                return Ok(Some(user));
            }
            if let Some(user) = self.by_certificate(peer).await {
                return Ok(Some(user));
            }
        }
        let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) {
            return self.by_token(token.trim()).await;
        }
        let anonymous = User {
            name: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".to_owned()],
        };
        Ok(self.options.anonymous.then_some(anonymous))
    }

    /// Whether `user` may.
    ///
    /// # Errors
    /// When the apiserver cannot be asked.
    pub async fn authorize(&self, user: &User, attributes: &Attributes) -> Result<bool, kube::Error> {
        if user.groups.iter().any(|group| group == "system:masters") {
            return Ok(true);
        }
        let key = (user.clone(), attributes.clone());
        if let Some(&(until, allowed)) = self.rights.lock().get(&key)
            && until > Instant::now()
        {
            return Ok(allowed);
        }
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &access_review(user, attributes)).await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let until = Instant::now() + if allowed { ALLOWED_TTL } else { DENIED_TTL };
        bounded(&mut *self.rights.lock()).insert(key, (until, allowed));
        Ok(allowed)
    }

    async fn by_token(&self, token: &str) -> Result<Option<User>, kube::Error> {
        if let Some((until, user)) = self.tokens.lock().get(token)
            && *until > Instant::now()
        {
            return Ok(user.clone());
        }
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: None },
            ..TokenReview::default()
        };
        let answer =
            Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = answer.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true)).map(|user| User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        });
        bounded(&mut *self.tokens.lock())
            .insert(token.to_owned(), (Instant::now() + TOKEN_TTL, user.clone()));
        Ok(user)
    }

    async fn by_certificate(&self, peer: &Peer) -> Option<User> {
        let verifier = self.verifier().await?;
        let (leaf, rest) = peer.certificates.split_first()?;
        if let Err(error) = verifier.verify_client_cert(leaf, rest, UnixTime::now()) {
            tracing::debug!(peer = %peer.address, %error, "client certificate not trusted");
            return None;
        }
        let subject = peer.subject()?;
        let mut groups = subject.organizations;
        groups.push("system:authenticated".to_owned());
        Some(User { name: subject.common_name, uid: String::new(), groups })
    }

    /// The verifier for the client CA, reread every minute.
    async fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        if let Some((until, verifier)) = &*self.verifier.lock()
            && *until > Instant::now()
        {
            return Some(Arc::clone(verifier));
        }
        let pem = match &self.options.client_ca_file {
            Some(path) => tokio::fs::read_to_string(path).await.map_err(anyhow::Error::from),
            None => self.cluster_ca().await.map_err(anyhow::Error::from),
        };
        let made = pem.and_then(|pem| verifier(&pem));
        match made {
            Ok(verifier) => {
                let until = Instant::now() + Duration::from_secs(60);
                *self.verifier.lock() = Some((until, Arc::clone(&verifier)));
                Some(verifier)
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "no CA to check client certificates with");
                None
            }
        }
    }

    async fn cluster_ca(&self) -> Result<String, kube::Error> {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), "kube-system");
        let map = maps.get("extension-apiserver-authentication").await?;
        Ok(map.data.unwrap_or_default().remove("client-ca-file").unwrap_or_default())
    }
}

#[async_trait]
impl Gatekeeper for Delegated {
    async fn admit(&self, parts: &Parts) -> Result<(), (StatusCode, String)> {
        let path = parts.uri.path();
        let free = |allowed: &String| match allowed.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == allowed,
        };
        if self.options.always_allow_paths.iter().any(free) {
            return Ok(());
        }
        let trouble = |error: kube::Error| {
            tracing::warn!(%error, "cannot ask the apiserver about a caller");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the apiserver cannot be asked who may read this\n".to_owned(),
            )
        };
        let Some(user) = self.authenticate(parts).await.map_err(trouble)? else {
            return Err((StatusCode::UNAUTHORIZED, "Unauthorized\n".to_owned()));
        };
        let verb = parts.method.as_str().to_ascii_lowercase();
        let attributes = Attributes::Path { verb: verb.clone(), path: path.to_owned() };
        if self.authorize(&user, &attributes).await.map_err(trouble)? {
            return Ok(());
        }
        let text = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"\n", user.name);
        Err((StatusCode::FORBIDDEN, text))
    }
}

fn verifier(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, anyhow::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

fn access_review(user: &User, attributes: &Attributes) -> SubjectAccessReview {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        groups: Some(user.groups.clone()),
        uid: (!user.uid.is_empty()).then(|| user.uid.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match attributes.clone() {
        Attributes::Path { verb, path } => {
            spec.non_resource_attributes = Some(NonResourceAttributes { path: Some(path), verb: Some(verb) });
        }
        Attributes::Resource { verb, group, resource, subresource, name } => {
            spec.resource_attributes = Some(ResourceAttributes {
                verb: Some(verb),
                group: Some(group),
                version: Some("v1".to_owned()),
                resource: Some(resource),
                subresource: (!subresource.is_empty()).then_some(subresource),
                name: Some(name),
                ..ResourceAttributes::default()
            });
        }
    }
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

fn bounded<K, V>(cache: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if cache.len() >= CACHE {
        cache.clear();
    }
    cache
}
