//! Authentication: who is asking.
//!
//! ```text
//!  peer, headers ──► request header (front proxy) ──► client certificate ──► bearer token ──► anonymous
//!                                                                               │
//!                                        token file ──► service account ──► bootstrap token
//! ```
//!
//! The first authenticator that knows the credential decides who the user is. A credential that was given but
//! is not good makes the request unauthorized, even where anonymous requests are allowed.

mod bootstrap_token;
mod impersonation;
mod live;
mod request_header;
pub mod service_account;
mod token_file;
mod token_review;
mod webhook;
mod x509;

#[cfg(test)]
mod tests;

pub use impersonation::{impersonate, strip as strip_impersonation};
pub use request_header::RequestHeaders;
pub use token_review::token_review;
pub use webhook::TokenWebhook;
pub use x509::Peer;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jiff::Timestamp;

use crate::{Lookup, UserInfo, names};

/// Before the base64url token in a WebSocket sub-protocol.
const WEBSOCKET_TOKEN_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// What a server accepts as proof of identity.
#[derive(Default)]
pub struct Config {
    /// `--client-ca-file`: who may sign client certificates.
    pub client_ca_file: Option<PathBuf>,
    /// `--requestheader-*`, when a front proxy is trusted.
    pub request_headers: Option<RequestHeaders>,
    /// `--token-auth-file`.
    pub token_auth_file: Option<PathBuf>,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap_tokens: bool,
    /// Verification of service account tokens; `None` accepts none.
    pub service_accounts: Option<Arc<service_account::Verifier>>,
    /// `--api-audiences`, or else the service account issuers.
    pub api_audiences: Vec<String>,
    /// `--authentication-token-webhook-config-file`.
    pub token_webhook: Option<TokenWebhook>,
    /// `--anonymous-auth`.
    pub anonymous: bool,
    /// The paths that anonymous requests are for; empty for all (`anonymous.conditions`).
    pub anonymous_paths: Vec<String>,
}

/// A flag's file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {flag} {}", path.display())]
    Read {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's content is of no use.
    #[error("{flag} {}: {why}", path.display())]
    Content {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what is wanted.
        why: String,
    },
}

impl ConfigError {
    pub(crate) fn content(flag: &'static str, path: &std::path::Path, why: impl Into<String>) -> Self {
        Self::Content { flag, path: path.to_owned(), why: why.into() }
    }
}

pub(crate) fn read(flag: &'static str, path: &std::path::Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read { flag, path: path.to_owned(), source })
}

/// A proven identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserInfo,
    /// The audiences that the credential is good for, of those asked for; empty when it has none.
    pub audiences: Vec<String>,
}

/// Why a request is answered 401. The reasons are for the log, not for the client.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unauthorized(pub String);

/// What one authenticator says: an identity, not my kind of credential, or a bad credential.
pub(crate) type Attempt = Result<Option<Identity>, String>;

/// All authenticators of a server.
pub struct Authenticator {
    front_proxy: Option<request_header::FrontProxy>,
    certificates: Option<x509::CertificateAuthority>,
    tokens: token_file::TokenFile,
    service_accounts: Option<Arc<service_account::Verifier>>,
    bootstrap_tokens: bool,
    token_webhook: Option<TokenWebhook>,
    anonymous: bool,
    anonymous_paths: Vec<String>,
    api_audiences: Vec<String>,
    lookup: Arc<dyn Lookup>,
}

impl Authenticator {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    /// A file cannot be read, or holds nothing that could be used.
    pub fn load(config: Config, lookup: Arc<dyn Lookup>) -> Result<Self, ConfigError> {
        let certificates = config
            .client_ca_file
            .as_deref()
            .map(|path| x509::CertificateAuthority::load("--client-ca-file", path))
            .transpose()?;
        let tokens = config.token_auth_file.as_deref().map(token_file::TokenFile::load).transpose()?;
        Ok(Self {
            front_proxy: config.request_headers.map(request_header::FrontProxy::load).transpose()?,
            certificates,
            tokens: tokens.unwrap_or_default(),
            service_accounts: config.service_accounts,
            bootstrap_tokens: config.bootstrap_tokens,
            token_webhook: config.token_webhook,
            anonymous: config.anonymous,
            anonymous_paths: config.anonymous_paths,
            api_audiences: config.api_audiences,
            lookup,
        })
    }

    /// Reads the files of trusted signers again, so that a cluster's CA can be exchanged without a restart. Returns
    /// whether one has changed.
    ///
    /// # Errors
    /// A file cannot be read or used; what was trusted before stays so.
    pub fn reload(&self) -> Result<bool, ConfigError> {
        let users = self.certificates.as_ref().map_or(Ok(false), x509::CertificateAuthority::reload)?;
        let proxies = self.front_proxy.as_ref().map_or(Ok(false), request_header::FrontProxy::reload)?;
        Ok(users || proxies)
    }

    /// Takes out of a request's headers what proved the identity, and every header in which a front proxy could speak,
    /// so that neither goes any further.
    pub fn strip_credentials(&self, headers: &mut HeaderMap) {
        strip_token(headers);
        request_header::strip(self.front_proxy.as_ref(), headers);
    }

    /// The audiences that identify this server.
    pub fn api_audiences(&self) -> &[String] {
        &self.api_audiences
    }

    /// Finds out who sent a request with these headers over a connection from `peer` (`None` without TLS
    /// client certificate). `path` decides where anonymous requests are for some paths only.
    ///
    /// # Errors
    /// The request must be answered 401.
    pub async fn authenticate(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
        path: &str,
        now: Timestamp,
    ) -> Result<Identity, Unauthorized> {
        let mut errors = Vec::new();
        let mut settle = |attempt: Attempt| attempt.map_err(|error| errors.push(error)).ok().flatten();
        let mut found = None;
        if let (Some(proxy), Some(peer)) = (&self.front_proxy, peer) {
            found = settle(proxy.authenticate(peer, headers, now));
        }
        if let (None, Some(authority), Some(peer)) = (&found, &self.certificates, peer) {
            found = settle(authority.authenticate(peer, now));
        }
        if let (None, Some(token)) = (&found, bearer_token(headers)) {
            found = match self.authenticate_token(&token, &self.api_audiences, now).await {
                Ok(identity) => Some(identity),
                Err(Unauthorized(error)) => {
                    errors.push(error);
                    None
                }
            };
        }
        if let Some(mut identity) = found {
            add_authenticated_group(&mut identity.user);
            return Ok(identity);
        }
        match crate::authz::aggregate_errors(&errors) {
            None if self.allows_anonymous(path) => Ok(Identity {
                user: UserInfo::new(names::ANONYMOUS, [names::UNAUTHENTICATED]),
                audiences: self.api_audiences.clone(),
            }),
            None => Err(Unauthorized("no credentials, and anonymous requests are not allowed".to_owned())),
            Some(errors) => Err(Unauthorized(errors)),
        }
    }

    fn allows_anonymous(&self, path: &str) -> bool {
        self.anonymous
            && (self.anonymous_paths.is_empty() || self.anonymous_paths.iter().any(|known| known == path))
    }

    /// Finds out whose a bearer token is, when it is meant for one of `audiences`.
    ///
    /// # Errors
    /// It is nobody's.
    pub(crate) async fn authenticate_token(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Identity, Unauthorized> {
        // Tokens of these kinds name no audience: they are for this server, whoever asks.
        let own: Vec<String> = self.api_audiences.iter().filter(|a| audiences.contains(a)).cloned().collect();
        let for_us = audiences.is_empty() || !own.is_empty();
        let implicit = |user| Identity { user, audiences: own.clone() };
        if for_us && let Some(user) = self.tokens.find(token) {
            return Ok(implicit(user));
        }
        let mut errors = vec!["invalid bearer token".to_owned()];
        if let Some(verifier) = &self.service_accounts {
            match verifier.authenticate(&*self.lookup, token, audiences, &self.api_audiences, now).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        if for_us
            && self.bootstrap_tokens
            && let Some(user) = bootstrap_token::authenticate(&*self.lookup, token, now).await
        {
            return Ok(implicit(user));
        }
        if let Some(webhook) = &self.token_webhook {
            match webhook.authenticate(token, audiences).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        Err(Unauthorized(crate::authz::aggregate_errors(&errors).unwrap_or_default()))
    }
}

/// Takes out the token.
fn strip_token(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    let Some(offered) = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok()) else { return };
    if offered.contains(WEBSOCKET_TOKEN_PREFIX) {
        let kept: Vec<&str> =
            offered.split(',').map(str::trim).filter(|p| !p.starts_with(WEBSOCKET_TOKEN_PREFIX)).collect();
        match kept.join(", ").parse() {
            Ok(value) if !kept.is_empty() => drop(headers.insert(SEC_WEBSOCKET_PROTOCOL, value)),
            _ => drop(headers.remove(SEC_WEBSOCKET_PROTOCOL)),
        }
    }
}

/// The token of an `Authorization: Bearer` header, or else of the WebSocket sub-protocol that stands for it
/// where a browser cannot set headers.
fn bearer_token(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let from_header = || {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
        let mut parts = value.splitn(3, ' ');
        let (scheme, token) = (parts.next()?, parts.next()?);
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(Cow::Borrowed(token))
    };
    let from_protocol = || {
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
        let encoded =
            offered.flat_map(|v| v.split(',')).find_map(|p| p.trim().strip_prefix(WEBSOCKET_TOKEN_PREFIX))?;
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
        String::from_utf8(token).ok().filter(|t| !t.is_empty()).map(Cow::Owned)
    };
    from_header().or_else(from_protocol)
}

/// Everyone who proved an identity is in `system:authenticated`, except who came as one of the two groups
/// already.
fn add_authenticated_group(user: &mut UserInfo) {
    let settled = user.in_group(names::AUTHENTICATED) || user.in_group(names::UNAUTHENTICATED);
    if user.name != names::ANONYMOUS && !settled {
        user.groups.push(names::AUTHENTICATED.to_owned());
    }
}
