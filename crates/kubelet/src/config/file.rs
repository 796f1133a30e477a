//! KubeletConfiguration (kubelet.config.k8s.io/v1beta1): the keys that are served, with upstream's defaults.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use api_types::k8s::api::core::v1::Taint;
use api_types::quantity::Quantity;
use component::duration::GoDuration;
use serde::{Deserialize, Serialize};

/// The configuration. Sizes are quantities, times are Go durations; see upstream's reference for each key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Configuration {
    pub enable_server: bool,
    pub static_pod_path: PathBuf,
    pub pod_logs_dir: PathBuf,
    pub sync_frequency: GoDuration,
    pub file_check_frequency: GoDuration,
    pub address: IpAddr,
    pub port: u16,
    pub read_only_port: u16,
    pub tls_cert_file: Option<PathBuf>,
    pub tls_private_key_file: Option<PathBuf>,
    pub tls_cipher_suites: Vec<String>,
    pub tls_min_version: String,
    pub rotate_certificates: bool,
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: bool,
    pub authentication: Authentication,
    pub authorization: Authorization,
    pub enable_debugging_handlers: bool,
    pub healthz_port: u16,
    pub healthz_bind_address: IpAddr,
    pub oom_score_adj: i32,
    pub cluster_domain: String,
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    pub node_status_update_frequency: GoDuration,
    pub node_status_report_frequency: GoDuration,
    pub node_lease_duration_seconds: i32,
    #[serde(rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: GoDuration,
    #[serde(rename = "imageMaximumGCAge")]
    pub image_maximum_gc_age: GoDuration,
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: i32,
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: i32,
    pub cgroup_root: String,
    #[serde(rename = "cgroupsPerQOS")]
    pub cgroups_per_qos: bool,
    pub cgroup_driver: String,
    pub runtime_request_timeout: GoDuration,
    pub max_pods: usize,
    pub pods_per_core: usize,
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    pub pod_pids_limit: i64,
    pub resolv_conf: String,
    #[serde(rename = "cpuCFSQuota")]
    pub cpu_cfs_quota: bool,
    #[serde(rename = "cpuCFSQuotaPeriod")]
    pub cpu_cfs_quota_period: GoDuration,
    pub node_status_max_images: i32,
    pub serialize_image_pulls: bool,
    pub max_parallel_image_pulls: Option<usize>,
    pub eviction_hard: Option<BTreeMap<String, String>>,
    pub eviction_soft: BTreeMap<String, String>,
    pub eviction_soft_grace_period: BTreeMap<String, GoDuration>,
    pub eviction_pressure_transition_period: GoDuration,
    pub eviction_max_pod_grace_period: i64,
    pub feature_gates: BTreeMap<String, bool>,
    pub fail_swap_on: bool,
    pub container_log_max_size: String,
    pub container_log_max_files: usize,
    pub container_log_monitor_interval: GoDuration,
    pub system_reserved: BTreeMap<String, String>,
    pub kube_reserved: BTreeMap<String, String>,
    pub enforce_node_allocatable: Vec<String>,
    pub allowed_unsafe_sysctls: Vec<String>,
    #[serde(rename = "providerID")]
    pub provider_id: String,
    pub shutdown_grace_period: GoDuration,
    pub shutdown_grace_period_critical_pods: GoDuration,
    pub crash_loop_back_off: CrashLoopBackOff,
    pub seccomp_default: bool,
    pub register_with_taints: Vec<Taint>,
    pub register_node: bool,
    pub container_runtime_endpoint: String,
    #[serde(rename = "failCgroupV1")]
    pub fail_cgroup_v1: bool,
}

/// Who may call the kubelet's server.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authentication {
    /// Client certificates.
    pub x509: X509,
    /// Bearer tokens, checked by the API server.
    pub webhook: Webhook,
    /// Callers without credentials.
    pub anonymous: Anonymous,
}

/// Client certificates.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct X509 {
    /// Bundle of CAs; none means that certificates prove nothing.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: Option<PathBuf>,
}

/// Bearer tokens.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Whether they are accepted.
    pub enabled: bool,
    /// How long answers may be remembered.
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: GoDuration,
}

/// Callers without credentials.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Anonymous {
    /// Whether they are served as system:anonymous.
    pub enabled: bool,
}

/// What callers may do.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authorization {
    /// `Webhook` or `AlwaysAllow`.
    pub mode: String,
    /// Caching of answers.
    pub webhook: WebhookAuthorization,
}

/// Caching of answers.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookAuthorization {
    /// For yes.
    #[serde(rename = "cacheAuthorizedTTL")]
    pub cache_authorized_ttl: GoDuration,
    /// For no.
    #[serde(rename = "cacheUnauthorizedTTL")]
    pub cache_unauthorized_ttl: GoDuration,
}

/// Pauses between restarts.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CrashLoopBackOff {
    /// The longest, between 1 s and 5 min (KEP-4603).
    pub max_container_restart_period: GoDuration,
}

impl Default for CrashLoopBackOff {
    fn default() -> Self {
        Self { max_container_restart_period: GoDuration::from_secs(300) }
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self { enabled: true, cache_ttl: GoDuration::from_secs(120) }
    }
}

impl Default for Authorization {
    fn default() -> Self {
        Self { mode: "Webhook".into(), webhook: WebhookAuthorization::default() }
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            enable_server: true,
            static_pod_path: PathBuf::new(),
            pod_logs_dir: "/var/log/pods".into(),
            sync_frequency: GoDuration::from_secs(60),
            file_check_frequency: GoDuration::from_secs(20),
            address: IpAddr::from([0, 0, 0, 0]),
            port: 10250,
            read_only_port: 0,
            tls_cert_file: None,
            tls_private_key_file: None,
            tls_cipher_suites: Vec::new(),
            tls_min_version: String::new(),
            rotate_certificates: false,
            server_tls_bootstrap: false,
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            enable_debugging_handlers: true,
            healthz_port: 10248,
            healthz_bind_address: IpAddr::from([127, 0, 0, 1]),
            oom_score_adj: -999,
            cluster_domain: String::new(),
            cluster_dns: Vec::new(),
            node_status_update_frequency: GoDuration::from_secs(10),
            node_status_report_frequency: GoDuration::from_secs(300),
            node_lease_duration_seconds: 40,
            image_minimum_gc_age: GoDuration::from_secs(120),
            image_maximum_gc_age: GoDuration::from_secs(0),
            image_gc_high_threshold_percent: 85,
            image_gc_low_threshold_percent: 80,
            cgroup_root: String::new(),
            cgroups_per_qos: true,
            cgroup_driver: "cgroupfs".into(),
            runtime_request_timeout: GoDuration::from_secs(120),
            max_pods: 110,
            pods_per_core: 0,
            pod_cidr: String::new(),
            pod_pids_limit: -1,
            resolv_conf: "/etc/resolv.conf".into(),
            cpu_cfs_quota: true,
            cpu_cfs_quota_period: GoDuration(Duration::from_millis(100)),
            node_status_max_images: 50,
            serialize_image_pulls: true,
            max_parallel_image_pulls: None,
            eviction_hard: None,
            eviction_soft: BTreeMap::new(),
            eviction_soft_grace_period: BTreeMap::new(),
            eviction_pressure_transition_period: GoDuration::from_secs(300),
            eviction_max_pod_grace_period: 0,
            feature_gates: BTreeMap::new(),
            fail_swap_on: true,
            container_log_max_size: "10Mi".into(),
            container_log_max_files: 5,
            container_log_monitor_interval: GoDuration::from_secs(10),
            system_reserved: BTreeMap::new(),
            kube_reserved: BTreeMap::new(),
            enforce_node_allocatable: vec!["pods".into()],
            allowed_unsafe_sysctls: Vec::new(),
            provider_id: String::new(),
            shutdown_grace_period: GoDuration::from_secs(0),
            shutdown_grace_period_critical_pods: GoDuration::from_secs(0),
            crash_loop_back_off: CrashLoopBackOff::default(),
            seccomp_default: false,
            register_with_taints: Vec::new(),
            register_node: true,
            container_runtime_endpoint: "unix:///run/containerd/containerd.sock".into(),
            fail_cgroup_v1: true,
        }
    }
}

impl Configuration {
    /// Zero durations stand for defaults: kubeadm writes them into every file.
    pub fn fill_zeroes(&mut self) {
        let defaults = Self::default();
        let fill = |value: &mut GoDuration, default: GoDuration| {
            if value.0.is_zero() {
                *value = default;
            }
        };
        fill(&mut self.sync_frequency, defaults.sync_frequency);
        fill(&mut self.file_check_frequency, defaults.file_check_frequency);
        fill(&mut self.node_status_update_frequency, defaults.node_status_update_frequency);
        fill(&mut self.node_status_report_frequency, defaults.node_status_report_frequency);
        fill(&mut self.image_minimum_gc_age, defaults.image_minimum_gc_age);
        fill(&mut self.runtime_request_timeout, defaults.runtime_request_timeout);
        fill(&mut self.cpu_cfs_quota_period, defaults.cpu_cfs_quota_period);
        fill(&mut self.container_log_monitor_interval, defaults.container_log_monitor_interval);
        fill(&mut self.eviction_pressure_transition_period, defaults.eviction_pressure_transition_period);
        let longest = &mut self.crash_loop_back_off.max_container_restart_period;
        fill(longest, defaults.crash_loop_back_off.max_container_restart_period);
    }

    /// Adds a line for every value that cannot be used.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut need = |fine: bool, line: String| {
            if !fine {
                problems.push(line);
            }
        };
        let driver = &self.cgroup_driver;
        need(
            matches!(driver.as_str(), "cgroupfs" | "systemd"),
            format!("cgroupDriver: {driver:?} is not a driver; use cgroupfs or systemd"),
        );
        let mode = &self.authorization.mode;
        need(
            matches!(mode.as_str(), "Webhook" | "AlwaysAllow"),
            format!("authorization.mode: {mode:?} is not a mode; use Webhook or AlwaysAllow"),
        );
        need(
            !self.server_tls_bootstrap,
            "serverTLSBootstrap: true is not served by this kubelet; set tlsCertFile and tlsPrivateKeyFile, or leave it off for a self-signed certificate".into(),
        );
        need(
            self.tls_cert_file.is_some() == self.tls_private_key_file.is_some(),
            "tlsCertFile and tlsPrivateKeyFile: set both or neither".into(),
        );
        need(
            self.shutdown_grace_period.0.is_zero() && self.shutdown_grace_period_critical_pods.0.is_zero(),
            "shutdownGracePeriod: a graceful node shutdown is not served by this kubelet; set it and shutdownGracePeriodCriticalPods to 0s".into(),
        );
        let sizes = [("containerLogMaxSize", &self.container_log_max_size)].into_iter();
        let reserved =
            |name| move |(key, value): (&String, &String)| (format!("{name}[{key}]"), value.clone());
        let sizes = sizes
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .chain(self.system_reserved.iter().map(reserved("systemReserved")))
            .chain(self.kube_reserved.iter().map(reserved("kubeReserved")));
        for (name, value) in sizes {
            need(
                Quantity::parse(&value).is_ok(),
                format!("{name}: {value:?} is not a quantity; write for example 10Mi or 500m"),
            );
        }
        need(
            self.container_log_max_files >= 2,
            format!("containerLogMaxFiles: {} is too few; use 2 or more", self.container_log_max_files),
        );
        let (low, high) = (self.image_gc_low_threshold_percent, self.image_gc_high_threshold_percent);
        need(
            (0..=100).contains(&low) && (0..=100).contains(&high) && low < high,
            format!(
                "imageGCLowThresholdPercent: {low} must be below imageGCHighThresholdPercent: {high}, both 0 to 100"
            ),
        );
        let longest = self.crash_loop_back_off.max_container_restart_period.0;
        need(
            (Duration::from_secs(1)..=Duration::from_secs(300)).contains(&longest),
            "crashLoopBackOff.maxContainerRestartPeriod: use 1s to 5m".into(),
        );
        for address in &self.cluster_dns {
            need(address.parse::<IpAddr>().is_ok(), format!("clusterDNS: {address:?} is not an IP address"));
        }
        for entry in &self.enforce_node_allocatable {
            let fine = matches!(entry.as_str(), "pods" | "none" | "");
            need(
                fine,
                format!("enforceNodeAllocatable: {entry:?} is not served by this kubelet; use pods or none"),
            );
        }
        crate::eviction::check(self, problems);
    }
}
