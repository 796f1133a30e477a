//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args};
use component::duration::GoDuration;
use component::flags;
use component::pages::listen_address;
use hickory_proto::rr::Name;

/// Flags of coxswain-dns.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Logging.
    #[command(flatten)]
    pub logging: flags::Logging,
    /// Connection.
    #[command(flatten)]
    pub connection: flags::Kubeconfig,
    /// Domain of the cluster
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Where questions are answered, UDP and TCP; without an address on all of them
    #[arg(long, default_value = ":53")]
    pub listen: String,
    /// Seconds that answers may be kept
    #[arg(long, default_value_t = 5)]
    pub ttl: u32,
    /// Resolvers for names outside the cluster (address or address:port), instead of those in --resolv-conf
    #[arg(long, value_delimiter = ',', action = ArgAction::Append)]
    pub forward: Vec<String>,
    /// File that lists resolvers for names outside the cluster
    #[arg(long, default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// namespace/name of the Service in front of this server
    #[arg(long, default_value = "kube-system/kube-dns")]
    pub service: String,
    /// How long questions are answered after the signal to end, while others still send them here
    #[arg(long, default_value = "5s")]
    pub lameduck: GoDuration,
    /// Where /health answers; empty for nowhere
    #[arg(long, default_value = ":8080")]
    pub health_address: String,
    /// Where /ready answers; empty for nowhere
    #[arg(long, default_value = ":8181")]
    pub ready_address: String,
    /// Where /metrics answers; empty for nowhere
    #[arg(long, default_value = ":9153")]
    pub metrics_address: String,
}

impl component::Options for Options {
    fn logging(&self) -> &flags::Logging {
        &self.logging
    }

    fn validate(&self, problems: &mut Vec<String>) {
        if self.domain().is_none() {
            problems.push(format!("--cluster-domain: {:?} is not a domain name", self.cluster_domain));
        }
        if listen_address(&self.listen).is_none() {
            problems
                .push(format!("--listen: {:?} is not an address and port such as 0.0.0.0:53", self.listen));
        }
        if self.service_name().is_none() {
            problems.push(format!("--service: {:?} is not namespace/name", self.service));
        }
        for resolver in self.forward.iter().filter(|text| resolver(text).is_none()) {
            problems.push(format!("--forward: {resolver:?} is not an IP address, with or without a port"));
        }
        for (flag, address) in [
            ("--health-address", &self.health_address),
            ("--ready-address", &self.ready_address),
            ("--metrics-address", &self.metrics_address),
        ] {
            if !address.is_empty() && listen_address(address).is_none() {
                problems.push(format!("{flag}: {address:?} is not an address and port such as :8080"));
            }
        }
    }
}

impl Options {
    /// The cluster's domain, absolute.
    pub fn domain(&self) -> Option<Name> {
        let mut name = Name::from_ascii(self.cluster_domain.trim_end_matches('.')).ok()?.to_lowercase();
        name.set_fqdn(true);
        (!name.is_root()).then_some(name)
    }

    /// Namespace and name of the Service in front of this server.
    pub fn service_name(&self) -> Option<(String, String)> {
        let (namespace, name) = self.service.split_once('/')?;
        Some((namespace.to_owned(), name.to_owned()))
    }

    /// The resolvers given by `--forward`.
    pub fn resolvers(&self) -> Vec<SocketAddr> {
        self.forward.iter().filter_map(|text| resolver(text)).collect()
    }
}

fn resolver(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    text.parse().ok().or_else(bare)
}
