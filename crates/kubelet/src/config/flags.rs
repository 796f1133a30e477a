//! Command-line flags. Settings of the node itself are flags; those that may be shared between nodes belong in the file, and
//! of their deprecated flags the ones in common use are taken.

use std::net::IpAddr;
use std::path::PathBuf;

use api_types::k8s::api::core::v1::Taint;
use clap::{ArgAction, Args};
use component::flags::{FeatureGates, Logging};

use super::Configuration;

/// The kubelet's flags.
#[derive(Args, Debug, Clone)]
pub struct Flags {
    /// The kubelet loads its initial configuration from this file; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Path to a kubeconfig file, specifying how to connect to the API server; without it the kubelet runs static pods only
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig with a bootstrap token, used to get a client certificate when --kubeconfig does not exist
    #[arg(long, value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// The directory where the TLS certs are located
    #[arg(long, default_value = "/var/lib/kubelet/pki", value_name = "DIR")]
    pub cert_dir: PathBuf,
    /// Name of this node instead of the host name
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// IP address (or comma-separated dual-stack IP addresses) of the node
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub node_ip: Vec<IpAddr>,
    /// Directory path for managing kubelet files
    #[arg(long, default_value = "/var/lib/kubelet", value_name = "DIR")]
    pub root_dir: PathBuf,
    /// Labels to add when registering the node: key=value, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    pub node_labels: Vec<String>,
    /// Sandbox image, which image garbage collection keeps; the runtime's own setting decides which one is used
    #[arg(long, value_name = "IMAGE", default_value = "")]
    pub pod_infra_container_image: String,
    /// The endpoint of the container runtime service
    #[arg(long, value_name = "ENDPOINT")]
    pub container_runtime_endpoint: Option<String>,
    /// Register the node with the API server
    #[arg(long, action = ArgAction::Set)]
    pub register_node: Option<bool>,
    /// Register the node with these taints: key=value:effect, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE:EFFECT")]
    pub register_with_taints: Vec<String>,
    /// Directory with static pod manifests
    #[arg(long, value_name = "PATH")]
    pub pod_manifest_path: Option<PathBuf>,
    /// DNS server IP addresses, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub cluster_dns: Vec<String>,
    /// Domain for this cluster
    #[arg(long, value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,
    /// Driver that the kubelet uses to manipulate cgroups on the host
    #[arg(long, value_name = "DRIVER")]
    pub cgroup_driver: Option<String>,
    /// Root cgroup to use for pods
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_root: Option<String>,
    /// Fail to start if swap is enabled on the node
    #[arg(long, action = ArgAction::Set)]
    pub fail_swap_on: Option<bool>,
    /// Number of pods that can run on this kubelet
    #[arg(long, value_name = "COUNT")]
    pub max_pods: Option<usize>,
    /// The IP address for the kubelet to serve on
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// The port for the kubelet to serve on
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The read-only port for the kubelet to serve on with no authentication; 0 disables it
    #[arg(long, value_name = "PORT")]
    pub read_only_port: Option<u16>,
    /// The port of the localhost healthz endpoint; 0 disables it
    #[arg(long, value_name = "PORT")]
    pub healthz_port: Option<u16>,
    /// The IP address for the healthz server to serve on
    #[arg(long, value_name = "IP")]
    pub healthz_bind_address: Option<IpAddr>,
    /// File containing the x509 certificate used for serving HTTPS
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// File containing the x509 private key matching --tls-cert-file
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Authorities that sign client certificates of callers
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Rotate the kubelet's client certificate when it is about to expire
    #[arg(long, action = ArgAction::Set)]
    pub rotate_certificates: Option<bool>,
    /// Resolver configuration file used as the basis for the container DNS resolution configuration
    #[arg(long, value_name = "FILE")]
    pub resolv_conf: Option<String>,
    /// Log flags.
    #[command(flatten)]
    pub logging: Logging,
    /// Feature gates.
    #[command(flatten)]
    pub gates: FeatureGates,
}

impl component::Options for Flags {
    fn logging(&self) -> &Logging {
        &self.logging
    }

    fn feature_gates(&self) -> Option<&FeatureGates> {
        Some(&self.gates)
    }

    fn validate(&self, problems: &mut Vec<String>) {
        self.gates.features(problems);
        for label in &self.node_labels {
            if label.split_once('=').is_none_or(|(key, _)| key.is_empty()) {
                problems.push(format!("--node-labels: {label:?} is not key=value"));
            }
        }
        for taint in &self.register_with_taints {
            if parse_taint(taint).is_none() {
                problems
                    .push(format!("--register-with-taints: {taint:?} is not key=value:effect or key:effect"));
            }
        }
        if self.bootstrap_kubeconfig.is_some() && self.kubeconfig.is_none() {
            problems
                .push("--bootstrap-kubeconfig needs --kubeconfig, the file to write the result to".into());
        }
    }
}

impl Flags {
    /// Labels for the node.
    pub fn labels(&self) -> Vec<(String, String)> {
        let split =
            |label: &String| label.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.node_labels.iter().filter_map(split).collect()
    }

    /// Puts the flags that were given over the file's values.
    pub fn apply(&self, to: &mut Configuration) {
        fn put<T: Clone>(flag: &Option<T>, to: &mut T) {
            if let Some(value) = flag {
                *to = value.clone();
            }
        }
        put(&self.container_runtime_endpoint, &mut to.container_runtime_endpoint);
        put(&self.register_node, &mut to.register_node);
        put(&self.pod_manifest_path, &mut to.static_pod_path);
        put(&self.cluster_domain, &mut to.cluster_domain);
        put(&self.cgroup_driver, &mut to.cgroup_driver);
        put(&self.cgroup_root, &mut to.cgroup_root);
        put(&self.fail_swap_on, &mut to.fail_swap_on);
        put(&self.max_pods, &mut to.max_pods);
        put(&self.address, &mut to.address);
        put(&self.port, &mut to.port);
        put(&self.read_only_port, &mut to.read_only_port);
        put(&self.healthz_port, &mut to.healthz_port);
        put(&self.healthz_bind_address, &mut to.healthz_bind_address);
        put(&self.rotate_certificates, &mut to.rotate_certificates);
        put(&self.resolv_conf, &mut to.resolv_conf);
        if self.tls_cert_file.is_some() {
            to.tls_cert_file.clone_from(&self.tls_cert_file);
        }
        if self.tls_private_key_file.is_some() {
            to.tls_private_key_file.clone_from(&self.tls_private_key_file);
        }
        if self.client_ca_file.is_some() {
            to.authentication.x509.client_ca_file.clone_from(&self.client_ca_file);
        }
        if !self.cluster_dns.is_empty() {
            to.cluster_dns.clone_from(&self.cluster_dns);
        }
        if !self.register_with_taints.is_empty() {
            to.register_with_taints =
                self.register_with_taints.iter().filter_map(|text| parse_taint(text)).collect();
        }
    }
}

/// `key=value:effect` or `key:effect`.
fn parse_taint(text: &str) -> Option<Taint> {
    let (key, effect) = text.rsplit_once(':')?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return None;
    }
    let (key, value) = key.split_once('=').map_or((key, None), |(key, value)| (key, Some(value.to_owned())));
    (!key.is_empty()).then(|| Taint {
        key: key.to_owned(),
        value: value.filter(|value| !value.is_empty()),
        effect: effect.to_owned(),
        ..Taint::default()
    })
}
