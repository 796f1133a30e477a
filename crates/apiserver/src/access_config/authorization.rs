//! `--authorization-mode` and its flags, or `--authorization-config`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use access::authz::webhook::{AccessWebhook, Settings};
use access::authz::{Abac, Authorizer, Mode, NodeGraph, Rbac};
use component::duration::GoDuration;
use serde::Deserialize;

use super::{ConfigError, kubeconfig, parse, read};
use crate::options::Authorization;

const CONFIG: &str = "--authorization-config";
const WEBHOOK: &str = "--authorization-webhook-config-file";
const POLICIES: &str = "--authorization-policy-file";

/// How long the server of `--authorization-webhook-config-file` may take.
const FLAG_TIMEOUT: Duration = Duration::from_secs(30);

/// The authorizers that the flags ask for.
///
/// # Errors
/// A file cannot be read or used; modes are unknown, repeated or not set up.
pub fn authorizer(
    flags: &Authorization,
    rbac: &Arc<Rbac>,
    nodes: &Arc<NodeGraph>,
) -> Result<Authorizer, ConfigError> {
    if let Some(path) = &flags.authorization_config {
        let config: Config = parse(CONFIG, path, "AuthorizationConfiguration")?;
        let modes = config.modes(rbac, nodes).map_err(|why| match why {
            Problem::Config(error) => error,
            Problem::Text(why) => ConfigError::content(CONFIG, path, why),
        })?;
        return Ok(Authorizer::new(modes));
    }
    let mut others = Vec::new();
    if let Some(path) = &flags.authorization_policy_file {
        let policies = Abac::parse(&read(POLICIES, path)?);
        others.push(Mode::Abac(Arc::new(policies.map_err(|why| ConfigError::content(POLICIES, path, why))?)));
    }
    if let Some(path) = &flags.authorization_webhook_config_file {
        let reviewer = kubeconfig::reviewer(WEBHOOK, path, FLAG_TIMEOUT)?;
        let settings = Settings {
            name: "default".to_owned(),
            version: flags.authorization_webhook_version.clone(),
            keep_allowed: flags.authorization_webhook_cache_authorized_ttl.0,
            keep_denied: flags.authorization_webhook_cache_unauthorized_ttl.0,
            fails_closed: false,
            conditions: Vec::new(),
        };
        let webhook = AccessWebhook::new(reviewer, settings).map_err(ConfigError::Flags)?;
        others.push(Mode::Webhook(Arc::new(webhook)));
    }
    let modes = match flags.authorization_mode.as_slice() {
        [] => &["AlwaysAllow".to_owned()][..],
        modes => modes,
    };
    Authorizer::from_flags(modes, Arc::clone(rbac), Arc::clone(nodes), &others)
        .map_err(|error| ConfigError::Flags(error.to_string()))
}

/// AuthorizationConfiguration.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    authorizers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type")]
    type_: String,
    name: String,
    webhook: Option<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhook {
    authorized_ttl: Option<GoDuration>,
    unauthorized_ttl: Option<GoDuration>,
    cache_authorized_requests: Option<bool>,
    cache_unauthorized_requests: Option<bool>,
    timeout: GoDuration,
    subject_access_review_version: String,
    #[serde(default)]
    match_condition_subject_access_review_version: String,
    failure_policy: String,
    connection_info: Connection,
    #[serde(default)]
    match_conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Connection {
    #[serde(rename = "type")]
    type_: String,
    kube_config_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    expression: String,
}

enum Problem {
    Config(ConfigError),
    Text(String),
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Problem::Text(why)
    }
}

impl Config {
    fn modes(&self, rbac: &Arc<Rbac>, nodes: &Arc<NodeGraph>) -> Result<Vec<Mode>, Problem> {
        if self.authorizers.is_empty() {
            return Err("authorizers: Required value: at least one authorization mode must be defined"
                .to_owned()
                .into());
        }
        let mut modes = Vec::new();
        for (index, entry) in self.authorizers.iter().enumerate() {
            let earlier = &self.authorizers[..index];
            if earlier.iter().any(|other| other.name == entry.name) {
                return Err(format!("authorizers[{index}].name: Duplicate value: {:?}", entry.name).into());
            }
            if entry.type_ != "Webhook" && earlier.iter().any(|other| other.type_ == entry.type_) {
                return Err(format!("authorizers[{index}].type: Duplicate value: {:?}", entry.type_).into());
            }
            modes.push(match (entry.type_.as_str(), &entry.webhook) {
                ("Webhook", Some(webhook)) => Mode::Webhook(webhook.make(index, &entry.name)?),
                ("Webhook", None) => {
                    return Err(format!("authorizers[{index}].webhook: Required value").into());
                }
                ("Node", None) => Mode::Node(Arc::clone(nodes)),
                ("RBAC", None) => Mode::Rbac(Arc::clone(rbac)),
                ("AlwaysAllow", None) => Mode::AlwaysAllow,
                ("AlwaysDeny", None) => Mode::AlwaysDeny,
                ("Node" | "RBAC" | "AlwaysAllow" | "AlwaysDeny", Some(_)) => {
                    return Err(format!(
                        "authorizers[{index}].webhook: may only be specified when type=Webhook"
                    )
                    .into());
                }
                (other, _) => {
                    return Err(format!("authorizers[{index}].type: Unsupported value: {other:?}").into());
                }
            });
        }
        Ok(modes)
    }
}

impl Webhook {
    fn make(&self, index: usize, name: &str) -> Result<Arc<AccessWebhook>, Problem> {
        let at = |field: &str| format!("authorizers[{index}].webhook.{field}");
        if !matches!(self.subject_access_review_version.as_str(), "v1" | "v1beta1") {
            let found = &self.subject_access_review_version;
            return Err(format!("{}: Unsupported value: {found:?}", at("subjectAccessReviewVersion")).into());
        }
        if !self.match_conditions.is_empty() && self.match_condition_subject_access_review_version != "v1" {
            let path = at("matchConditionSubjectAccessReviewVersion");
            return Err(format!("{path}: Required value: required if match conditions are specified").into());
        }
        let fails_closed = match self.failure_policy.as_str() {
            "Deny" => true,
            "NoOpinion" => false,
            other => return Err(format!("{}: Unsupported value: {other:?}", at("failurePolicy")).into()),
        };
        let file = match (self.connection_info.type_.as_str(), &self.connection_info.kube_config_file) {
            ("KubeConfigFile", Some(file)) => file,
            ("KubeConfigFile", None) => {
                return Err(format!("{}: Required value", at("connectionInfo.kubeConfigFile")).into());
            }
            (other, _) => {
                let path = at("connectionInfo.type");
                return Err(format!("{path}: {other:?} is not served; use KubeConfigFile").into());
            }
        };
        let reviewer = kubeconfig::reviewer(CONFIG, file, self.timeout.0).map_err(Problem::Config)?;
        let ttl = |given: Option<GoDuration>, default: u64, on: Option<bool>| match on {
            Some(false) => Duration::ZERO,
            _ => given.map_or(Duration::from_secs(default), |given| given.0),
        };
        let settings = Settings {
            name: name.to_owned(),
            version: self.subject_access_review_version.clone(),
            keep_allowed: ttl(self.authorized_ttl, 300, self.cache_authorized_requests),
            keep_denied: ttl(self.unauthorized_ttl, 30, self.cache_unauthorized_requests),
            fails_closed,
            conditions: self.match_conditions.iter().map(|condition| condition.expression.clone()).collect(),
        };
        let webhook = AccessWebhook::new(reviewer, settings);
        webhook.map(Arc::new).map_err(|why| format!("{}: {why}", at("matchConditions")).into())
    }
}
