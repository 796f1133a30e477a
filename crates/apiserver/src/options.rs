//! The command line: upstream's flag names, grouped as upstream groups them.
//!
//! A known upstream flag that has no field here is refused by `component` with a message that names it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use component::duration::GoDuration;
use component::flags;

use crate::stores::Override;

/// All flags of kube-apiserver.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Where and how to serve HTTPS.
    #[command(flatten)]
    pub serving: flags::SecureServing,
    /// Logs.
    #[command(flatten)]
    pub logging: flags::Logging,
    /// Feature gates.
    #[command(flatten)]
    pub gates: flags::FeatureGates,
    /// etcd.
    #[command(flatten)]
    pub etcd: Etcd,
    /// Who is asking.
    #[command(flatten)]
    pub authentication: Authentication,
    /// Service account tokens.
    #[command(flatten)]
    pub service_accounts: ServiceAccounts,
    /// May they.
    #[command(flatten)]
    pub authorization: Authorization,
    /// Admission.
    #[command(flatten)]
    pub admission: Admission,
    /// Services and kubelets.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Limits and other behaviour.
    #[command(flatten)]
    pub generic: Generic,
}

/// How to reach etcd.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Etcd flags")]
pub struct Etcd {
    /// etcd servers to connect with (scheme://ip:port), comma separated
    #[arg(long, value_delimiter = ',', required = true)]
    pub etcd_servers: Vec<String>,
    /// Per-resource etcd servers (group/resource#servers, servers separated by semicolons), comma separated
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers_overrides: Vec<String>,
    /// SSL Certificate Authority file used to secure etcd communication
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    /// SSL certification file used to secure etcd communication
    #[arg(long)]
    pub etcd_certfile: Option<PathBuf>,
    /// SSL key file used to secure etcd communication
    #[arg(long)]
    pub etcd_keyfile: Option<PathBuf>,
    /// Prefix of all resource paths in etcd
    #[arg(long, default_value = "/registry")]
    pub etcd_prefix: String,
    /// Interval of compaction requests; 0 switches compaction off
    #[arg(long, default_value = "5m")]
    pub etcd_compaction_interval: GoDuration,
    /// Storage backend; only etcd3
    #[arg(long, default_value = "etcd3", value_parser = ["etcd3"])]
    pub storage_backend: String,
    /// Media type of stored objects
    #[arg(long, default_value = "application/json", value_parser = ["application/json"])]
    pub storage_media_type: String,
    /// How long events are kept
    #[arg(long, default_value = "1h")]
    pub event_ttl: GoDuration,
}

/// Authentication.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Authentication flags")]
pub struct Authentication {
    /// Allow requests without credentials, as system:anonymous; true when neither this nor a file says otherwise
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub anonymous_auth: Option<bool>,
    /// File with an AuthenticationConfiguration
    #[arg(long)]
    pub authentication_config: Option<PathBuf>,
    /// Kubeconfig file of a server that knows bearer tokens
    #[arg(long)]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// How long that server's answers are remembered
    #[arg(long, default_value = "2m")]
    pub authentication_token_webhook_cache_ttl: GoDuration,
    /// Version of the TokenReview that is sent to it
    #[arg(long, default_value = "v1beta1", value_parser = ["v1beta1", "v1"])]
    pub authentication_token_webhook_version: String,
    /// CA bundle for client certificates; the common name is the user, the organisations are its groups
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// CSV file of tokens: token,user,uid,"group1,group2"
    #[arg(long)]
    pub token_auth_file: Option<PathBuf>,
    /// Accept secrets of type bootstrap.kubernetes.io/token in kube-system as bearer tokens
    #[arg(long, default_value_t = false)]
    pub enable_bootstrap_token_auth: bool,
    /// CA bundle for the front proxy's client certificates
    #[arg(long)]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names the front proxy's certificate may have; empty allows all
    #[arg(long, value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers to look in for user names
    #[arg(long, value_delimiter = ',')]
    pub requestheader_username_headers: Vec<String>,
    /// Headers to look in for the user's uid
    #[arg(long, value_delimiter = ',')]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers to look in for groups
    #[arg(long, value_delimiter = ',')]
    pub requestheader_group_headers: Vec<String>,
    /// Prefixes of headers to look in for extra user information
    #[arg(long, value_delimiter = ',')]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// Client certificate with which the server proves its identity to aggregated servers
    #[arg(long)]
    pub proxy_client_cert_file: Option<PathBuf>,
    /// Key of --proxy-client-cert-file
    #[arg(long)]
    pub proxy_client_key_file: Option<PathBuf>,
}

/// Service account tokens.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Service account flags")]
pub struct ServiceAccounts {
    /// Issuers of service account tokens; the first one issues, all are accepted
    #[arg(long, action = ArgAction::Append)]
    pub service_account_issuer: Vec<String>,
    /// Files with public keys that verify service account tokens
    #[arg(long, action = ArgAction::Append)]
    pub service_account_key_file: Vec<PathBuf>,
    /// File with the private key that signs service account tokens
    #[arg(long)]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Audiences that tokens must name; the issuer when empty
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    /// URI of the JSON web key set in the discovery document
    #[arg(long)]
    pub service_account_jwks_uri: Option<String>,
    /// Longest validity of a token
    #[arg(long)]
    pub service_account_max_token_expiration: Option<GoDuration>,
    /// Give injected tokens a year, so that old clients go on
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub service_account_extend_token_expiration: bool,
    /// Refuse tokens of deleted service accounts, pods and secrets
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub service_account_lookup: bool,
}

/// Authorization.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Authorization flags")]
pub struct Authorization {
    /// Authorizers in order: Node, RBAC, ABAC, Webhook, AlwaysAllow, AlwaysDeny; AlwaysAllow when not given
    #[arg(long, value_delimiter = ',', conflicts_with = "authorization_config")]
    pub authorization_mode: Vec<String>,
    /// File with an AuthorizationConfiguration
    #[arg(long)]
    pub authorization_config: Option<PathBuf>,
    /// File with one ABAC policy per line
    #[arg(long, conflicts_with = "authorization_config")]
    pub authorization_policy_file: Option<PathBuf>,
    /// Kubeconfig file of a server that decides
    #[arg(long, conflicts_with = "authorization_config")]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// Version of the SubjectAccessReview that is sent to it
    #[arg(long, default_value = "v1beta1", value_parser = ["v1beta1", "v1"])]
    pub authorization_webhook_version: String,
    /// How long its permissions are remembered
    #[arg(long, default_value = "5m")]
    pub authorization_webhook_cache_authorized_ttl: GoDuration,
    /// How long anything else that it says is remembered
    #[arg(long, default_value = "30s")]
    pub authorization_webhook_cache_unauthorized_ttl: GoDuration,
}

/// Admission plug-ins.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Admission flags")]
pub struct Admission {
    /// Plug-ins to enable besides the default ones
    #[arg(long, value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Default plug-ins to disable
    #[arg(long, value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
}

/// Services, nodes and kubelets.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Cluster flags")]
pub struct Cluster {
    /// Address on which to advertise this server to the cluster
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    /// One or two CIDRs from which service cluster IPs are assigned
    #[arg(long, value_delimiter = ',', default_value = "10.0.0.0/24")]
    pub service_cluster_ip_range: Vec<String>,
    /// Ports for services of type NodePort, both ends included
    #[arg(long, default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// Allow privileged containers
    #[arg(long, default_value_t = false)]
    pub allow_privileged: bool,
    /// CA file for kubelets' serving certificates
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Client certificate for kubelets
    #[arg(long)]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Key of --kubelet-client-certificate
    #[arg(long)]
    pub kubelet_client_key: Option<PathBuf>,
    /// Kinds of node address to use for kubelets, best first
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    /// How long a connection to a kubelet may take
    #[arg(long, default_value = "5s")]
    pub kubelet_timeout: GoDuration,
    /// How the endpoints of the kubernetes service are kept
    #[arg(long, default_value = "lease", value_parser = ["lease", "none", "master-count"])]
    pub endpoint_reconciler_type: String,
}

/// Limits and other behaviour.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Generic flags")]
pub struct Generic {
    /// API versions to switch on or off: group/version=true|false, api/all=..., api/beta=...
    #[arg(long, value_delimiter = ',')]
    pub runtime_config: Vec<String>,
    /// Serve profiles
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub profiling: bool,
    /// How long a request may take
    #[arg(long, default_value = "1m")]
    pub request_timeout: GoDuration,
    /// Least time after which a watch without timeout is ended
    #[arg(long, default_value_t = 1800)]
    pub min_request_timeout: u64,
    /// Reads in flight at once
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: usize,
    /// Writes in flight at once
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    /// How long the server goes on serving, not ready, after it was told to stop
    #[arg(long, default_value = "0s")]
    pub shutdown_delay_duration: GoDuration,
    /// Collect deleted objects' dependents
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub enable_garbage_collector: bool,
    /// Serve requests for aggregated APIs by endpoint address instead of cluster IP
    #[arg(long, default_value_t = false)]
    pub enable_aggregator_routing: bool,
    /// External name of this server
    #[arg(long)]
    pub external_hostname: Option<String>,
    /// Share the seats that the max-inflight limits add up to by priority and fairness
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub enable_priority_and_fairness: bool,
}

impl component::Options for Options {
    fn logging(&self) -> &flags::Logging {
        &self.logging
    }

    fn feature_gates(&self) -> Option<&flags::FeatureGates> {
        Some(&self.gates)
    }

    fn validate(&self, problems: &mut Vec<String>) {
        self.serving.validate(problems);
        self.gates.features(problems);
        if self.service_accounts.service_account_issuer.is_empty() {
            problems.push("--service-account-issuer is required".into());
        }
        if self.service_accounts.service_account_signing_key_file.is_none() {
            problems.push("--service-account-signing-key-file is required".into());
        }
        if self.service_accounts.service_account_key_file.is_empty() {
            problems.push("--service-account-key-file is required".into());
        }
        for text in self.etcd.etcd_servers_overrides.iter().filter(|text| Override::parse(text).is_none()) {
            problems
                .push(format!("--etcd-servers-overrides {text:?} is not of the form group/resource#servers"));
        }
        if self.etcd.etcd_certfile.is_some() != self.etcd.etcd_keyfile.is_some() {
            problems.push("--etcd-certfile and --etcd-keyfile must be given together".into());
        }
        if self.cluster.kubelet_client_certificate.is_some() != self.cluster.kubelet_client_key.is_some() {
            problems
                .push("--kubelet-client-certificate and --kubelet-client-key must be given together".into());
        }
    }
}
