//! kube-proxy's command line, and what it comes to together with the configuration file.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use component::duration::GoDuration;
use component::pages::listen_address;
use component::{config, flags};
use ipnet::IpNet;

use crate::config::{ACCEPTED, Configuration};

/// kube-proxy's flags. With `--config`, the file decides everything but logging and `--hostname-override`, as upstream.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Logging.
    #[command(flatten)]
    pub logging: flags::Logging,
    /// Feature gates.
    #[command(flatten)]
    pub gates: flags::FeatureGates,
    /// Connection.
    #[command(flatten)]
    pub connection: flags::Kubeconfig,
    /// Path to the configuration file
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Remove all rules that a kube-proxy of this mode made, and exit
    #[arg(long)]
    pub cleanup: bool,
    /// Only do what needs privileges (kernel parameters), and exit
    #[arg(long)]
    pub init_only: bool,
    /// Name of this node's Node object; the host name when empty
    #[arg(long, default_value = "")]
    pub hostname_override: String,
    /// How to program Services: nftables
    #[arg(long, default_value = "")]
    pub proxy_mode: String,
    /// Pod ranges of the cluster, comma-separated; traffic from elsewhere to cluster IPs is masqueraded
    #[arg(long, default_value = "")]
    pub cluster_cidr: String,
    /// Ranges of this host's addresses on which node ports answer; "primary" for the Node's own
    #[arg(long, value_delimiter = ',', action = ArgAction::Append)]
    pub nodeport_addresses: Vec<String>,
    /// Address of this node, when it shall not come from the Node object
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: String,
    /// Treat an address that is in use as fatal
    #[arg(long)]
    pub bind_address_hard_fail: bool,
    /// Where /healthz and /livez answer; empty for nowhere
    #[arg(long, default_value = "0.0.0.0:10256")]
    pub healthz_bind_address: String,
    /// Where /metrics answers; empty for nowhere
    #[arg(long, default_value = "127.0.0.1:10249")]
    pub metrics_bind_address: String,
    /// How local traffic is told: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix
    #[arg(long, default_value = "")]
    pub detect_local_mode: String,
    /// Bridge of the pods, for BridgeInterface
    #[arg(long, default_value = "")]
    pub pod_bridge_interface: String,
    /// Prefix of the pods' interfaces, for InterfaceNamePrefix
    #[arg(long, default_value = "")]
    pub pod_interface_name_prefix: String,
    /// Masquerade everything that goes to a cluster IP
    #[arg(long)]
    pub masquerade_all: bool,
    /// oom_score_adj of this process
    #[arg(long, default_value_t = -999)]
    pub oom_score_adj: i32,
    /// Tracked connections per core, 0 to leave the limit alone
    #[arg(long, default_value_t = 32_768)]
    pub conntrack_max_per_core: u32,
    /// Tracked connections at least
    #[arg(long, default_value_t = 131_072)]
    pub conntrack_min: u32,
    /// Do not mark TCP packets out of window as invalid
    #[arg(long)]
    pub conntrack_tcp_be_liberal: bool,
    /// Timeout of TCP connections in CLOSE_WAIT
    #[arg(long, default_value = "1h")]
    pub conntrack_tcp_timeout_close_wait: GoDuration,
    /// Idle timeout of established TCP connections, 0 to leave it alone
    #[arg(long, default_value = "24h")]
    pub conntrack_tcp_timeout_established: GoDuration,
    /// Idle timeout of unanswered UDP flows, 0 to leave it alone
    #[arg(long, default_value = "0s")]
    pub conntrack_udp_timeout: GoDuration,
    /// Idle timeout of answered UDP flows, 0 to leave it alone
    #[arg(long, default_value = "0s")]
    pub conntrack_udp_timeout_stream: GoDuration,
}

impl component::Options for Options {
    fn logging(&self) -> &flags::Logging {
        &self.logging
    }

    fn feature_gates(&self) -> Option<&flags::FeatureGates> {
        Some(&self.gates)
    }

    fn validate(&self, problems: &mut Vec<String>) {
        self.gates.features(problems);
        match self.configuration() {
            Ok(configuration) => check(&configuration, problems),
            Err(error) => problems.push(component::exit::render("--config", &error.into())),
        }
    }
}

impl Options {
    /// The file's configuration, or the flags' when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn configuration(&self) -> Result<Configuration, config::Error> {
        let mut configuration: Configuration = match &self.config {
            Some(path) => config::load(path, ACCEPTED)?,
            None => self.flags_configuration(),
        };
        if !self.hostname_override.is_empty() {
            configuration.hostname_override.clone_from(&self.hostname_override);
        }
        Ok(configuration)
    }

    fn flags_configuration(&self) -> Configuration {
        let mut to = Configuration::default();
        if let Some(path) = &self.connection.kubeconfig {
            to.client_connection.kubeconfig = path.to_string_lossy().into_owned();
        }
        to.mode.clone_from(&self.proxy_mode);
        to.cluster_cidr.clone_from(&self.cluster_cidr);
        to.node_port_addresses.clone_from(&self.nodeport_addresses);
        to.bind_address.clone_from(&self.bind_address);
        to.bind_address_hard_fail = self.bind_address_hard_fail;
        to.healthz_bind_address.clone_from(&self.healthz_bind_address);
        to.metrics_bind_address.clone_from(&self.metrics_bind_address);
        to.detect_local_mode.clone_from(&self.detect_local_mode);
        to.detect_local.bridge_interface.clone_from(&self.pod_bridge_interface);
        to.detect_local.interface_name_prefix.clone_from(&self.pod_interface_name_prefix);
        to.nftables.masquerade_all = self.masquerade_all;
        to.oom_score_adj = Some(self.oom_score_adj);
        to.conntrack.max_per_core = Some(self.conntrack_max_per_core);
        to.conntrack.min = Some(self.conntrack_min);
        to.conntrack.tcp_be_liberal = self.conntrack_tcp_be_liberal;
        to.conntrack.tcp_close_wait_timeout = Some(self.conntrack_tcp_timeout_close_wait);
        to.conntrack.tcp_established_timeout = Some(self.conntrack_tcp_timeout_established);
        to.conntrack.udp_timeout = Some(self.conntrack_udp_timeout);
        to.conntrack.udp_stream_timeout = Some(self.conntrack_udp_timeout_stream);
        to
    }
}

/// Every value that would fail later, with where it is to be mended.
fn check(configuration: &Configuration, problems: &mut Vec<String>) {
    match configuration.mode.as_str() {
        "" | "nftables" => {}
        mode @ ("iptables" | "ipvs") => problems.push(format!(
            "--proxy-mode (mode): {mode:?} is not served by this kube-proxy; use \"nftables\", which works beside iptables rules of others"
        )),
        mode => problems.push(format!("--proxy-mode (mode): {mode:?} is not a proxy mode; use \"nftables\"")),
    }
    let ranges = |text: &str| {
        text.split(',').map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    for range in ranges(&configuration.cluster_cidr) {
        if range.parse::<IpNet>().is_err() {
            problems.push(format!(
                "--cluster-cidr (clusterCIDR): {range:?} is not a range such as 10.244.0.0/16"
            ));
        }
    }
    for range in &configuration.node_port_addresses {
        if range != "primary" && range.parse::<IpNet>().is_err() {
            problems.push(format!(
                "--nodeport-addresses (nodePortAddresses): {range:?} is neither a range nor \"primary\""
            ));
        }
    }
    if configuration.bind_address.parse::<IpAddr>().is_err() {
        problems.push(format!(
            "--bind-address (bindAddress): {:?} is not an IP address",
            configuration.bind_address
        ));
    }
    for (name, address) in [
        ("--healthz-bind-address (healthzBindAddress)", &configuration.healthz_bind_address),
        ("--metrics-bind-address (metricsBindAddress)", &configuration.metrics_bind_address),
    ] {
        if listen_address(address).is_none() && !address.is_empty() {
            problems.push(format!("{name}: {address:?} is not an address and port such as 0.0.0.0:10256"));
        }
    }
    if configuration.nftables.masquerade_bit.is_some_and(|bit| bit > 31) {
        problems.push("nftables.masqueradeBit: a packet mark has bits 0 to 31".to_owned());
    }
    let detect = &configuration.detect_local;
    match configuration.detect_local_mode.as_str() {
        "" | "ClusterCIDR" | "NodeCIDR" => {}
        "BridgeInterface" if detect.bridge_interface.is_empty() => {
            problems.push("--detect-local-mode=BridgeInterface needs --pod-bridge-interface (detectLocal.bridgeInterface)".to_owned());
        }
        "InterfaceNamePrefix" if detect.interface_name_prefix.is_empty() => {
            problems.push("--detect-local-mode=InterfaceNamePrefix needs --pod-interface-name-prefix (detectLocal.interfaceNamePrefix)".to_owned());
        }
        "BridgeInterface" | "InterfaceNamePrefix" => {}
        mode => problems.push(format!("--detect-local-mode (detectLocalMode): {mode:?} is not one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix")),
    }
    if [&detect.bridge_interface, &detect.interface_name_prefix].iter().any(|name| name.len() > 15) {
        problems.push("detectLocal: an interface name has at most 15 bytes".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use component::{Daemon, flags::parse_from};

    use super::*;

    const DAEMON: Daemon = Daemon::new("kube-proxy", "test");

    #[test]
    fn flags_become_a_configuration() {
        let options: Options = parse_from(
            &DAEMON,
            [
                "--proxy-mode=nftables",
                "--cluster-cidr=10.244.0.0/16",
                "--nodeport-addresses=primary,10.0.0.0/8",
                "--masquerade-all",
            ],
        )
        .unwrap();
        let configuration = options.configuration().unwrap();
        assert_eq!(configuration.cluster_cidr, "10.244.0.0/16");
        assert_eq!(configuration.node_port_addresses, ["primary", "10.0.0.0/8"]);
        assert!(configuration.nftables.masquerade_all);
    }

    #[test]
    fn upstreams_defaulted_file_is_read() {
        let text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection: {kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, acceptContentTypes: '', contentType: '', qps: 0, burst: 0}\nclusterCIDR: 10.244.0.0/16\nconntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}\nnodePortAddresses: null\noomScoreAdj: null\nlogging: {flushFrequency: 0, verbosity: 0, options: {json: {infoBufferSize: '0'}}}\nwinkernel: {enableDSR: false}\nwindowsRunAsService: false\n";
        let configuration: Configuration =
            config::parse(std::path::Path::new("c.yaml"), text, ACCEPTED).unwrap();
        assert_eq!(configuration.client_connection.kubeconfig, "/var/lib/kube-proxy/kubeconfig.conf");
        let mut problems = Vec::new();
        check(&configuration, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn bad_values_are_named_together() {
        let stop = parse_from::<Options>(
            &DAEMON,
            [
                "--proxy-mode=ipvs",
                "--cluster-cidr=10.0.0.0",
                "--detect-local-mode=BridgeInterface",
                "--bind-address=x",
            ],
        );
        let problems = format!("{:?}", stop.unwrap_err());
        for flag in ["--proxy-mode", "--cluster-cidr", "--detect-local-mode", "--bind-address"] {
            assert!(problems.contains(flag), "{problems}");
        }
    }
}
