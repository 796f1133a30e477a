//! The authentication flags, and `--authentication-config`.

use std::time::Duration;

use access::authn::TokenWebhook;
use serde::Deserialize;

use super::{ConfigError, kubeconfig, parse};
use crate::options::Authentication;

const CONFIG: &str = "--authentication-config";
const WEBHOOK: &str = "--authentication-token-webhook-config-file";
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether requests without credentials are answered, and where.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Anonymous {
    /// At all.
    pub enabled: bool,
    /// On these paths only; empty for all.
    pub paths: Vec<String>,
}

/// Anonymous requests, and the server that knows tokens.
///
/// # Errors
/// A file cannot be read or used.
pub fn authentication(flags: &Authentication) -> Result<(Anonymous, Option<TokenWebhook>), ConfigError> {
    let mut anonymous = Anonymous { enabled: flags.anonymous_auth.unwrap_or(true), paths: Vec::new() };
    if let Some(path) = &flags.authentication_config {
        let config: Config = parse(CONFIG, path, "AuthenticationConfiguration")?;
        if !config.jwt.is_empty() {
            let why = "jwt: issuers of tokens are not served by this apiserver yet; leave them out";
            return Err(ConfigError::content(CONFIG, path, why));
        }
        if let Some(configured) = config.anonymous {
            if flags.anonymous_auth.is_some() {
                let why = "--anonymous-auth and anonymous in --authentication-config exclude each other; remove one";
                return Err(ConfigError::Flags(why.to_owned()));
            }
            if !configured.enabled && !configured.conditions.is_empty() {
                let why = "anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined";
                return Err(ConfigError::content(CONFIG, path, why));
            }
            let paths = configured.conditions.into_iter().map(|condition| condition.path).collect();
            anonymous = Anonymous { enabled: configured.enabled, paths };
        }
    }
    let webhook = match &flags.authentication_token_webhook_config_file {
        None => None,
        Some(path) => {
            let reviewer = kubeconfig::reviewer(WEBHOOK, path, WEBHOOK_TIMEOUT)?;
            let version = match flags.authentication_token_webhook_version.as_str() {
                "v1" => "v1",
                _ => "v1beta1",
            };
            Some(TokenWebhook::new(reviewer, version, flags.authentication_token_webhook_cache_ttl.0))
        }
    };
    Ok((anonymous, webhook))
}

/// AuthenticationConfiguration.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    jwt: Vec<serde_yaml::Value>,
    anonymous: Option<AnonymousConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousConfig {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}
