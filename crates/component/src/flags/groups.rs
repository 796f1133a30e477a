//! The groups of flags that upstream's daemons share; flatten them with `#[command(flatten)]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};

use crate::duration::GoDuration;
use crate::features::Features;
use crate::serve;

/// How and where a daemon logs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs flags")]
pub struct Logging {
    /// Log level verbosity: 0-3 info, 4-5 debug, 6 and more trace
    #[arg(long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub v: u8,
    /// Log format
    #[arg(long, value_enum, default_value_t = LoggingFormat::Text)]
    pub logging_format: LoggingFormat,
    /// Comma-separated pattern=N settings for module-filtered logging (text format only)
    #[arg(long, value_delimiter = ',', value_name = "PATTERN=N")]
    pub vmodule: Vec<String>,
    /// Longest time between log flushes; every line is written at once, so any value is met
    #[arg(long, default_value = "5s")]
    pub log_flush_frequency: GoDuration,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoggingFormat {
    /// klog's lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// `--feature-gates`.
#[derive(Args, Clone, Debug, Default)]
pub struct FeatureGates {
    /// Comma-separated Name=true|false settings of feature gates
    #[arg(long, value_name = "NAME=BOOL", action = ArgAction::Append)]
    pub feature_gates: Vec<String>,
}

impl FeatureGates {
    /// The resulting gates; bad settings become lines in `problems`.
    pub fn features(&self, problems: &mut Vec<String>) -> Features {
        Features::parse(self.feature_gates.iter().map(String::as_str), problems)
    }
}

/// How to reach the apiserver.
#[derive(Args, Clone, Debug, Default)]
pub struct Kubeconfig {
    /// Path to a kubeconfig file with authorization and master location information
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Address of the apiserver; overrides the kubeconfig
    #[arg(long)]
    pub master: Option<String>,
}

/// Flags of every daemon that change nothing here because what they tune does not exist: any value is met.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accepted flags")]
pub struct Accepted {
    /// Requests are not limited on the client's side
    #[arg(long)]
    pub kube_api_qps: Option<f64>,
    /// Requests are not limited on the client's side
    #[arg(long)]
    pub kube_api_burst: Option<u32>,
    /// Only JSON is spoken; the server accepts it everywhere
    #[arg(long)]
    pub kube_api_content_type: Option<String>,
    /// Serve profiling data; there is none
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub profiling: bool,
    /// Serve lock contention data; there is none
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub contention_profiling: bool,
}

/// Lease-based leader election.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election flags")]
pub struct LeaderElection {
    /// Gain leadership before doing the main work
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
    /// How long non-leaders wait after a renewal before they try to take over
    #[arg(long, default_value = "15s")]
    pub leader_elect_lease_duration: GoDuration,
    /// How long the leader tries to renew before it stops leading
    #[arg(long, default_value = "10s")]
    pub leader_elect_renew_deadline: GoDuration,
    /// Pause between attempts
    #[arg(long, default_value = "2s")]
    pub leader_elect_retry_period: GoDuration,
    /// Kind of the lock object
    #[arg(long, default_value = "leases")]
    pub leader_elect_resource_lock: String,
    /// Name of the lock object; the daemon's own name when empty
    #[arg(long, default_value = "")]
    pub leader_elect_resource_name: String,
    /// Namespace of the lock object
    #[arg(long, default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,
}

impl LeaderElection {
    /// Checks the relations between the durations that the protocol needs.
    pub fn validate(&self, problems: &mut Vec<String>) {
        if !self.leader_elect {
            return;
        }
        let (lease, renew, retry) = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        );
        if lease <= renew {
            problems.push(format!("--leader-elect-lease-duration ({lease}) must be greater than --leader-elect-renew-deadline ({renew})"));
        }
        if renew.0 <= retry.0.mul_f64(1.2) {
            problems.push(format!("--leader-elect-renew-deadline ({renew}) must be greater than 1.2 times --leader-elect-retry-period ({retry})"));
        }
        if self.leader_elect_resource_lock != "leases" {
            problems.push(format!(
                "--leader-elect-resource-lock: {:?} is not supported, use leases",
                self.leader_elect_resource_lock
            ));
        }
    }
}

/// Who may call the daemon's own HTTPS endpoints: delegated to the apiserver.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Authentication and authorization flags")]
pub struct Authentication {
    /// Kubeconfig with rights to create tokenreviews.authentication.k8s.io
    #[arg(long)]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig with rights to create subjectaccessreviews.authorization.k8s.io
    #[arg(long)]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Paths served without authorization
    #[arg(long, value_delimiter = ',', default_values = ["/healthz", "/readyz", "/livez"])]
    pub authorization_always_allow_paths: Vec<String>,
    /// CA bundle for client certificates
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// CA bundle for the front proxy's client certificates
    #[arg(long)]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names the front proxy's certificate may have
    #[arg(long, value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers to look in for user names
    #[arg(long, value_delimiter = ',', default_values = ["x-remote-user"])]
    pub requestheader_username_headers: Vec<String>,
    /// Headers to look in for groups
    #[arg(long, value_delimiter = ',', default_values = ["x-remote-group"])]
    pub requestheader_group_headers: Vec<String>,
    /// Prefixes of headers to look in for extra user information
    #[arg(long, value_delimiter = ',', default_values = ["x-remote-extra-"])]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

/// HTTPS serving.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Secure serving flags")]
pub struct SecureServing {
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind_address: IpAddr,
    /// Port for HTTPS; 0 switches it off
    #[arg(long)]
    pub secure_port: Option<u16>,
    /// Directory for a self-signed certificate when no certificate file is given; kept in memory when empty
    #[arg(long)]
    pub cert_dir: Option<PathBuf>,
    /// File with the serving certificate, intermediates after it
    #[arg(long)]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the private key of --tls-cert-file
    #[arg(long)]
    pub tls_private_key_file: Option<PathBuf>,
    /// More certificates: CERT,KEY[:name,*.domain,...]
    #[arg(long, action = ArgAction::Append, value_name = "CERT,KEY[:NAMES]")]
    pub tls_sni_cert_key: Vec<SniCertificate>,
    /// Lowest TLS version
    #[arg(long, value_parser = ["VersionTLS12", "VersionTLS13"])]
    pub tls_min_version: Option<String>,
    /// Allowed TLS 1.2 cipher suites, by their Go names
    #[arg(long, value_delimiter = ',')]
    pub tls_cipher_suites: Vec<String>,
    /// Most HTTP/2 streams of one connection at once; 0 for the default
    #[arg(long, default_value_t = 0)]
    pub http2_max_streams_per_connection: u32,
    /// Share the port with other processes (SO_REUSEPORT)
    #[arg(long)]
    pub permit_port_sharing: bool,
    /// Share the address with sockets that are closing (SO_REUSEADDR)
    #[arg(long)]
    pub permit_address_sharing: bool,
}

impl SecureServing {
    /// Checks what belongs together.
    pub fn validate(&self, problems: &mut Vec<String>) {
        if self.tls_cert_file.is_some() != self.tls_private_key_file.is_some() {
            problems.push("--tls-cert-file and --tls-private-key-file must be given together".to_owned());
        }
        serve::check_cipher_suites(&self.tls_cipher_suites, problems);
    }

    /// The server's configuration, or `None` when the port is 0. `cert_name` names the self-signed pair in --cert-dir.
    pub fn config(&self, default_port: u16, cert_name: &str) -> Option<serve::Config> {
        let port = self.secure_port.unwrap_or(default_port);
        if port == 0 {
            return None;
        }
        let certificate = match (&self.tls_cert_file, &self.tls_private_key_file, &self.cert_dir) {
            (Some(cert), Some(key), _) => serve::Certificate::Files { cert: cert.clone(), key: key.clone() },
            (_, _, Some(dir)) if dir != Path::new("") => {
                serve::Certificate::SelfSigned { dir: Some(dir.clone()), name: cert_name.to_owned() }
            }
            _ => serve::Certificate::SelfSigned { dir: None, name: cert_name.to_owned() },
        };
        let mut config = serve::Config::new(SocketAddr::new(self.bind_address, port));
        config.tls = Some(serve::Tls {
            certificate,
            sni: self.tls_sni_cert_key.clone(),
            only_tls13: self.tls_min_version.as_deref() == Some("VersionTLS13"),
            cipher_suites: self.tls_cipher_suites.clone(),
            names: Vec::new(),
        });
        if self.http2_max_streams_per_connection > 0 {
            config.max_streams = self.http2_max_streams_per_connection;
        }
        config.reuse_port = self.permit_port_sharing;
        Some(config)
    }
}

/// One `--tls-sni-cert-key`: a pair of files and the names it serves (those in the certificate when none are given).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniCertificate {
    /// Certificate file.
    pub cert: PathBuf,
    /// Key file.
    pub key: PathBuf,
    /// Domain patterns, `*.` allowed as first label.
    pub names: Vec<String>,
}

impl FromStr for SniCertificate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (files, names) = text.split_once(':').unwrap_or((text, ""));
        let (cert, key) = files.split_once(',').ok_or("expected CERT,KEY or CERT,KEY:NAME,NAME")?;
        let names = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Self { cert: cert.into(), key: key.into(), names })
    }
}
