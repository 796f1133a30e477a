//! The command line.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use component::flags;
use component::pages::listen_address;
use ipnet::IpNet;

/// Flags of coxswain-network.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Logging.
    #[command(flatten)]
    pub logging: flags::Logging,
    /// Connection.
    #[command(flatten)]
    pub connection: flags::Kubeconfig,
    /// Name of this node's Node object; the host name when empty
    #[arg(long, env = "NODE_NAME", default_value = "")]
    pub node_name: String,
    /// Pod ranges of the cluster, comma-separated; traffic of pods to elsewhere is masqueraded. The nodes' ranges when empty
    #[arg(long, default_value = "", value_delimiter = ',', action = ArgAction::Append)]
    pub cluster_cidr: Vec<String>,
    /// Where the file system of the host is mounted; all paths below are paths on the host
    #[arg(long, default_value = "/")]
    pub host_root: PathBuf,
    /// Directory where the container runtime looks for CNI configurations
    #[arg(long, default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,
    /// Name of the CNI configuration file; the runtime takes the first of its directory
    #[arg(long, default_value = "10-coxswain.conflist")]
    pub cni_conf_name: String,
    /// Directory where the container runtime looks for CNI plug-ins
    #[arg(long, default_value = "/opt/cni/bin")]
    pub cni_bin_dir: PathBuf,
    /// Directory from which missing CNI plug-ins are copied
    #[arg(long, default_value = "/usr/lib/cni")]
    pub cni_bin_source: PathBuf,
    /// Directory where the host-local plug-in notes which addresses are taken
    #[arg(long, default_value = "/var/lib/cni/networks")]
    pub cni_data_dir: PathBuf,
    /// Bridge of the pods
    #[arg(long, default_value = "cni0")]
    pub bridge: String,
    /// MTU of the pods' interfaces, 0 for the kernel's default
    #[arg(long, default_value_t = 0)]
    pub mtu: u32,
    /// Hide pods behind the node towards the world
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub masquerade: bool,
    /// Where /healthz and /metrics answer; empty for nowhere
    #[arg(long, default_value = "")]
    pub health_address: String,
    /// Remove routes, rules and the CNI configuration of this daemon, and exit
    #[arg(long)]
    pub cleanup: bool,
}

impl component::Options for Options {
    fn logging(&self) -> &flags::Logging {
        &self.logging
    }

    fn validate(&self, problems: &mut Vec<String>) {
        for range in
            self.cluster_cidr.iter().filter(|range| !range.is_empty() && range.parse::<IpNet>().is_err())
        {
            problems.push(format!("--cluster-cidr: {range:?} is not a range such as 10.244.0.0/16"));
        }
        if self.bridge.is_empty() || self.bridge.len() > 15 {
            problems.push(format!("--bridge: {:?} is not an interface name (1 to 15 bytes)", self.bridge));
        }
        let name = std::path::Path::new(&self.cni_conf_name);
        if name.components().count() != 1 || name.extension().is_none_or(|kind| kind != "conflist") {
            problems.push(format!(
                "--cni-conf-name: {:?} is not a file name that ends in .conflist",
                self.cni_conf_name
            ));
        }
        if !self.health_address.is_empty() && listen_address(&self.health_address).is_none() {
            problems.push(format!(
                "--health-address: {:?} is not an address and port such as 127.0.0.1:10247",
                self.health_address
            ));
        }
    }
}

impl Options {
    /// The ranges of `--cluster-cidr`.
    pub fn cluster_ranges(&self) -> Vec<IpNet> {
        self.cluster_cidr.iter().filter_map(|range| range.parse().ok()).collect()
    }

    /// Where a path on the host is for this process.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        below(&self.host_root, path)
    }
}

/// `path` with `root` in front of it.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
