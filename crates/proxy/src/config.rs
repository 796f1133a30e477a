//! `KubeProxyConfiguration`, kubeproxy.config.k8s.io/v1alpha1. Every key of upstream's is known; those of other modes are read
//! and have no effect, as upstream's own nftables mode has it.

use std::collections::BTreeMap;

use component::duration::GoDuration;
use serde::{Deserialize, Serialize};

/// apiVersion and kind of the file.
pub const ACCEPTED: &[(&str, &str)] = &[("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration")];

/// The configuration of the proxy, from a file or from flags.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Configuration {
    /// Feature gates.
    pub feature_gates: BTreeMap<String, bool>,
    /// How to reach the apiserver.
    pub client_connection: ClientConnection,
    /// Logging; the flags decide.
    pub logging: serde_yaml::Value,
    /// Name of this node's Node object.
    pub hostname_override: String,
    /// Address of this node, when it shall not come from the Node object.
    pub bind_address: String,
    /// Where `/healthz` and `/livez` answer.
    pub healthz_bind_address: String,
    /// Where `/metrics` answers.
    pub metrics_bind_address: String,
    /// Whether an address that is taken ends the proxy.
    pub bind_address_hard_fail: bool,
    /// Upstream's profiling handlers; there are none here.
    pub enable_profiling: bool,
    /// Upstream's hidden metrics; there are none here.
    pub show_hidden_metrics_for_version: String,
    /// `nftables`, or empty for the platform's default, which is the same here.
    pub mode: String,
    /// Of the iptables mode.
    pub iptables: serde_yaml::Value,
    /// Of the IPVS mode.
    pub ipvs: serde_yaml::Value,
    /// Of the nftables mode.
    pub nftables: NfTables,
    /// Of Windows.
    pub winkernel: serde_yaml::Value,
    /// How local traffic is told: `ClusterCIDR`, `NodeCIDR`, `BridgeInterface`, `InterfaceNamePrefix`.
    pub detect_local_mode: String,
    /// Interfaces for the last two modes.
    pub detect_local: DetectLocal,
    /// Pod ranges of the cluster, comma-separated.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// Ranges of addresses on which node ports answer; `primary` for the node's own.
    #[serde(deserialize_with = "or_default")]
    pub node_port_addresses: Vec<String>,
    /// `oom_score_adj` of the process.
    pub oom_score_adj: Option<i32>,
    /// Connection-tracking limits.
    pub conntrack: Conntrack,
    /// Upstream's resync period; informers here need none.
    pub config_sync_period: GoDuration,
    /// Of the removed userspace mode.
    pub port_range: String,
    /// Windows.
    pub windows_run_as_service: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            feature_gates: BTreeMap::new(),
            client_connection: ClientConnection::default(),
            logging: serde_yaml::Value::Null,
            hostname_override: String::new(),
            bind_address: "0.0.0.0".into(),
            healthz_bind_address: "0.0.0.0:10256".into(),
            metrics_bind_address: "127.0.0.1:10249".into(),
            bind_address_hard_fail: false,
            enable_profiling: false,
            show_hidden_metrics_for_version: String::new(),
            mode: String::new(),
            iptables: serde_yaml::Value::Null,
            ipvs: serde_yaml::Value::Null,
            nftables: NfTables::default(),
            winkernel: serde_yaml::Value::Null,
            detect_local_mode: String::new(),
            detect_local: DetectLocal::default(),
            cluster_cidr: String::new(),
            node_port_addresses: Vec::new(),
            oom_score_adj: Some(-999),
            conntrack: Conntrack::default(),
            config_sync_period: GoDuration::from_secs(15 * 60),
            port_range: String::new(),
            windows_run_as_service: false,
        }
    }
}

/// How to reach the apiserver.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientConnection {
    /// Kubeconfig; the pod's service account when empty.
    pub kubeconfig: String,
    /// Content types and rates: the client here speaks JSON and leaves rates to the server's fairness.
    pub accept_content_types: String,
    /// See `accept_content_types`.
    pub content_type: String,
    /// See `accept_content_types`.
    pub qps: f64,
    /// See `accept_content_types`.
    pub burst: i64,
}

/// The nftables mode.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NfTables {
    /// Bit of the packet mark that asks for masquerading.
    pub masquerade_bit: Option<u8>,
    /// Masquerade everything that goes to a cluster IP.
    pub masquerade_all: bool,
    /// How long a failed sync may wait for its retry.
    pub sync_period: GoDuration,
    /// Upstream's pause between syncs; here changes are gathered while a transaction runs, so none is needed.
    pub min_sync_period: GoDuration,
}

impl Default for NfTables {
    fn default() -> Self {
        Self {
            masquerade_bit: Some(14),
            masquerade_all: false,
            sync_period: GoDuration::from_secs(30),
            min_sync_period: GoDuration::from_secs(1),
        }
    }
}

/// Interfaces of local pods.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DetectLocal {
    /// For `BridgeInterface`.
    pub bridge_interface: String,
    /// For `InterfaceNamePrefix`.
    pub interface_name_prefix: String,
}

/// Connection-tracking limits; absent or 0 leaves the system's.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Conntrack {
    /// Connections per core.
    pub max_per_core: Option<u32>,
    /// Connections at least.
    pub min: Option<u32>,
    /// Idle time of an established TCP connection.
    pub tcp_established_timeout: Option<GoDuration>,
    /// Time in CLOSE_WAIT.
    pub tcp_close_wait_timeout: Option<GoDuration>,
    /// Do not mark out-of-window packets invalid.
    pub tcp_be_liberal: bool,
    /// Idle time of a UDP flow without answer.
    pub udp_timeout: Option<GoDuration>,
    /// Idle time of a UDP flow with answers.
    pub udp_stream_timeout: Option<GoDuration>,
}

impl Default for Conntrack {
    fn default() -> Self {
        Self {
            max_per_core: Some(32_768),
            min: Some(131_072),
            tcp_established_timeout: Some(GoDuration::from_secs(24 * 3600)),
            tcp_close_wait_timeout: Some(GoDuration::from_secs(3600)),
            tcp_be_liberal: false,
            udp_timeout: Some(GoDuration::from_secs(0)),
            udp_stream_timeout: Some(GoDuration::from_secs(0)),
        }
    }
}

/// `null` for a list means the default.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
