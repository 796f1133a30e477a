//! Service account tokens: the issuer, the verifier, and their discovery documents.

use std::sync::Arc;

use access::authn::service_account::{self, Issuer, KeyError, PublicKey, SigningKey, Verifier};
use serde_json::Value;

use crate::options::ServiceAccounts;

/// Issues and verifies service account tokens.
pub struct Tokens {
    /// Signs.
    pub issuer: Issuer,
    /// Verifies.
    pub verifier: Arc<Verifier>,
    jwks_uri: String,
    /// What a token must be meant for.
    pub audiences: Vec<String>,
}

impl Tokens {
    /// Reads the keys that the flags name. `address` is this server's `host:port`, for the discovery document.
    ///
    /// # Errors
    /// A key file cannot be read or holds no usable key.
    pub fn load(options: &ServiceAccounts, address: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for path in &options.service_account_key_file {
            keys.extend(PublicKey::load(path)?);
        }
        // Option validation has made sure of an issuer and a signing key.
        let first = options.service_account_issuer.first().cloned().unwrap_or_default();
        let path = options.service_account_signing_key_file.clone().unwrap_or_default();
        let audiences = match options.api_audiences.is_empty() {
            true => vec![first.clone()],
            false => options.api_audiences.clone(),
        };
        let issuer = Issuer {
            issuer: first,
            key: SigningKey::load(&path)?,
            api_audiences: audiences.clone(),
            longest: options
                .service_account_max_token_expiration
                .and_then(|max| i64::try_from(max.0.as_secs()).ok())
                .unwrap_or(0),
            extend: options.service_account_extend_token_expiration,
        };
        let issuers = options.service_account_issuer.clone();
        Ok(Tokens {
            issuer,
            verifier: Arc::new(Verifier::new(issuers, keys, options.service_account_lookup)),
            jwks_uri: options
                .service_account_jwks_uri
                .clone()
                .unwrap_or_else(|| format!("https://{address}{}", service_account::KEY_SET_PATH)),
            audiences,
        })
    }

    /// `/.well-known/openid-configuration`
    pub fn configuration(&self) -> Value {
        service_account::configuration(&self.issuer.issuer, &self.jwks_uri, self.verifier.keys())
    }

    /// `/openid/v1/jwks`
    pub fn key_set(&self) -> Value {
        service_account::key_set(self.verifier.keys())
    }
}
