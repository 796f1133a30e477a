//! The settings of a cluster, and what follows from them.

use std::net::{IpAddr, UdpSocket};

use clap::Args;

use crate::failure::{Attempt, Failure, Result};

/// The Kubernetes version that this program's components speak.
pub const KUBERNETES_VERSION: &str = "v1.36.2";

/// What a person may decide about a new cluster. Everything has a default that works on one machine.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Address that the apiserver tells others to use; by default the one that outgoing traffic leaves from.
    #[arg(long, value_name = "IP")]
    pub apiserver_advertise_address: Option<IpAddr>,
    /// Port of the apiserver.
    #[arg(long, default_value_t = 6443)]
    pub apiserver_bind_port: u16,
    /// Further names and addresses for the apiserver's certificate.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub apiserver_cert_extra_sans: Vec<String>,
    /// Range that pods' addresses come from.
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16")]
    pub pod_network_cidr: String,
    /// Range that Services' addresses come from.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16")]
    pub service_cidr: String,
    /// Domain of the cluster's DNS names.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub service_dns_domain: String,
    /// Name of this node; by default the host's name.
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
}

/// A cluster as its first node sees it: every setting decided.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The apiserver's address and port.
    pub advertise: IpAddr,
    /// The apiserver's port.
    pub port: u16,
    /// Further names for the apiserver's certificate.
    pub extra_names: Vec<String>,
    /// Pods' range.
    pub pod_cidr: String,
    /// Services' range.
    pub service_cidr: String,
    /// First address of the Services' range: the `kubernetes` Service.
    pub kubernetes_ip: IpAddr,
    /// Tenth address of the Services' range: cluster DNS.
    pub dns_ip: IpAddr,
    /// Domain of DNS names.
    pub domain: String,
    /// Name of this node.
    pub node: String,
}

impl Cluster {
    /// Decides what was left open and checks what was given.
    pub fn decide(settings: &Settings) -> Result<Self> {
        let advertise = match settings.apiserver_advertise_address {
            Some(address) => address,
            None => outgoing_address()?,
        };
        Ok(Self {
            advertise,
            port: settings.apiserver_bind_port,
            extra_names: settings.apiserver_cert_extra_sans.clone(),
            pod_cidr: checked_cidr("--pod-network-cidr", &settings.pod_network_cidr)?,
            service_cidr: checked_cidr("--service-cidr", &settings.service_cidr)?,
            kubernetes_ip: nth_address(&settings.service_cidr, 1)?,
            dns_ip: nth_address(&settings.service_cidr, 10)?,
            domain: settings.service_dns_domain.clone(),
            node: node_name(settings.node_name.as_deref())?,
        })
    }

    /// The apiserver's URL.
    pub fn server(&self) -> String {
        match self.advertise {
            IpAddr::V4(address) => format!("https://{address}:{}", self.port),
            IpAddr::V6(address) => format!("https://[{address}]:{}", self.port),
        }
    }

    /// Every name and address that the apiserver answers to.
    pub fn apiserver_names(&self) -> Vec<String> {
        let mut names = vec![
            self.node.clone(),
            "kubernetes".into(),
            "kubernetes.default".into(),
            "kubernetes.default.svc".into(),
            format!("kubernetes.default.svc.{}", self.domain),
            "localhost".into(),
            "127.0.0.1".into(),
            self.kubernetes_ip.to_string(),
            self.advertise.to_string(),
        ];
        names.extend(self.extra_names.iter().cloned());
        names
    }
}

/// The node's name: what was asked for, else the host's name in lower case; checked against RFC 1123, which object names
/// must follow.
pub fn node_name(asked: Option<&str>) -> Result<String> {
    let name = match asked {
        Some(name) => name.to_owned(),
        None => {
            let host = nix::unistd::gethostname().attempt(|| "read the host's name")?;
            host.to_string_lossy().to_lowercase()
        }
    };
    let good = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || ".-".contains(character)
    };
    let edges = name.starts_with(['-', '.']) || name.ends_with(['-', '.']);
    if name.is_empty() || name.len() > 253 || edges || !name.chars().all(good) {
        return Err(Failure::new(
            format!("use {name:?} as the node's name"),
            "a node's name may contain only a-z, 0-9, '-' and '.', and starts and ends with a letter or digit",
        )
        .cure("give another with --node-name, or rename the host with `hostnamectl set-hostname NAME`"));
    }
    Ok(name)
}

/// The address that traffic to other hosts leaves from. Connecting a UDP socket sends nothing; the kernel only chooses
/// the route.
pub fn outgoing_address() -> Result<IpAddr> {
    let attempted = || "find this host's address";
    let cure =
        "name the address that other nodes can reach with --apiserver-advertise-address (or --node-ip)";
    let socket = UdpSocket::bind("0.0.0.0:0").attempt(attempted)?;
    // TEST-NET-1 (RFC 5737): an address that every default route covers.
    let chosen =
        socket.connect((std::net::Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr());
    match chosen {
        Ok(address) if !address.ip().is_loopback() => Ok(address.ip()),
        Ok(_) => {
            Err(Failure::new(attempted(), "traffic to other hosts would leave from loopback").cure(cure))
        }
        Err(error) => Err(Failure::new(attempted(), format!("no route to other hosts: {error}")).cure(cure)),
    }
}

fn checked_cidr(flag: &str, cidr: &str) -> Result<String> {
    nth_address(cidr, 1).map(|_| cidr.to_owned()).map_err(|_| {
        Failure::new(format!("use {flag}={cidr}"), "it is not an address range")
            .cure("write it as ADDRESS/BITS, for example 10.244.0.0/16")
    })
}

/// The n-th address of a range, as in "the tenth of 10.96.0.0/16 is 10.96.0.10".
fn nth_address(cidr: &str, n: u32) -> Result<IpAddr> {
    let wrong = |cause: &str| Failure::new(format!("use the address range {cidr}"), cause);
    let (address, bits) = cidr.split_once('/').ok_or_else(|| wrong("it has no /BITS"))?;
    let bits: u8 = bits.parse().attempt(|| format!("use the address range {cidr}"))?;
    let address: IpAddr = address.parse().attempt(|| format!("use the address range {cidr}"))?;
    match address {
        IpAddr::V4(address) if bits <= 28 => Ok(IpAddr::V4((u32::from(address) + n).into())),
        IpAddr::V6(address) if bits <= 124 => Ok(IpAddr::V6((u128::from(address) + u128::from(n)).into())),
        _ => Err(wrong("it is too small; 16 addresses are the least")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_addresses_follow_from_the_service_range() {
        assert_eq!(nth_address("10.96.0.0/16", 1).unwrap().to_string(), "10.96.0.1");
        assert_eq!(nth_address("10.96.0.0/16", 10).unwrap().to_string(), "10.96.0.10");
        assert_eq!(nth_address("fd00:10:96::/112", 10).unwrap().to_string(), "fd00:10:96::a");
    }

    #[test]
    fn bad_ranges_and_names_are_refused() {
        for cidr in ["10.96.0.0", "10.96.0.0/33", "10.96.0.0/30", "x/16", ""] {
            assert!(nth_address(cidr, 1).is_err(), "{cidr}");
        }
        for name in ["", "Upper", "-a", "a.", "a_b", "ä"] {
            assert!(node_name(Some(name)).is_err(), "{name}");
        }
        assert_eq!(node_name(Some("node-1.example")).unwrap(), "node-1.example");
    }
}
