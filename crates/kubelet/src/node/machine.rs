//! What the machine is and has: from /proc, /sys and the file system.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, UdpSocket};

use anyhow::bail;
use api_types::k8s::apimachinery::pkg::api::resource::Quantity;
use api_types::quantity;

use crate::config::{Configuration, Flags};
use crate::eviction::signals::{self, Signal};
use crate::eviction::thresholds;
use crate::host::Host;

/// The node that this machine is.
pub fn host(flags: &Flags, configuration: &Configuration) -> Result<Host, anyhow::Error> {
    let name = name(flags)?;
    let ips = addresses(flags)?;
    let capacity = capacity(flags, configuration);
    let allocatable = allocatable(&capacity, configuration);
    Ok(Host::new(name, ips, capacity, allocatable))
}

fn name(flags: &Flags) -> Result<String, anyhow::Error> {
    let name = match &flags.hostname_override {
        Some(name) => name.trim().to_lowercase(),
        None => nix::unistd::gethostname()?.to_string_lossy().trim().to_lowercase(),
    };
    let fine = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-.".contains(character)
    };
    if name.is_empty()
        || !name.chars().all(fine)
        || name.len() > 253
        || name.starts_with(['-', '.'])
        || name.ends_with(['-', '.'])
    {
        bail!(
            "the host name {name:?} is not a node name (lower-case letters, digits, '-' and '.'); give another one with --hostname-override"
        );
    }
    Ok(name)
}

/// --node-ip, or the address from which the default route is used, or any address that is not loop-back.
fn addresses(flags: &Flags) -> Result<Vec<String>, anyhow::Error> {
    let given: Vec<String> =
        flags.node_ip.iter().filter(|ip| !ip.is_unspecified()).map(ToString::to_string).collect();
    if !given.is_empty() {
        return Ok(given);
    }
    // Connecting a UDP socket sends nothing; it makes the kernel choose a source address.
    let routed = |from: &str, to: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let found = routed("0.0.0.0:0", "192.0.2.1:9")
        .or_else(|| routed("[::]:0", "[2001:db8::1]:9"))
        .or_else(any_address);
    match found {
        Some(ip) if !ip.is_unspecified() => Ok(vec![ip.to_string()]),
        _ => bail!(
            "this machine has no address besides loop-back; bring its network up or give one with --node-ip"
        ),
    }
}

fn any_address() -> Option<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().ok()?;
    let addresses = interfaces.filter_map(|interface| interface.address);
    let ips =
        addresses.filter_map(|address| address.as_sockaddr_in().map(|address| IpAddr::from(address.ip())));
    ips.into_iter().find(|ip| !ip.is_loopback())
}

/// Memory of the machine, bytes.
pub fn memory() -> i64 {
    signals::memory(0).and_then(|reading| i64::try_from(reading.capacity).ok()).unwrap_or(0)
}

fn capacity(flags: &Flags, configuration: &Configuration) -> BTreeMap<String, Quantity> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut pods = configuration.max_pods;
    if configuration.pods_per_core > 0 {
        pods = pods.min(configuration.pods_per_core * cpus);
    }
    let disk = signals::bytes(&flags.root_dir).or_else(|| signals::bytes("/".as_ref()));
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), Quantity(cpus.to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", memory() / 1024))),
        ("pods".to_owned(), Quantity(pods.to_string())),
    ]);
    if let Some(disk) = disk {
        capacity.insert("ephemeral-storage".into(), Quantity(format!("{}Ki", disk.capacity / 1024)));
    }
    for (size, count) in huge_pages() {
        capacity.insert(format!("hugepages-{size}"), Quantity(count));
    }
    capacity
}

/// Sizes and total amounts of huge pages.
fn huge_pages() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(kib) =
            name.strip_prefix("hugepages-").and_then(|name| name.strip_suffix("kB")?.parse::<u64>().ok())
        else {
            continue;
        };
        let pages = fs::read_to_string(entry.path().join("nr_hugepages"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let size = if kib >= 1 << 20 { format!("{}Gi", kib >> 20) } else { format!("{}Mi", kib >> 10) };
        let amount = pages.unwrap_or(0) * kib;
        found.push((size, if amount == 0 { "0".into() } else { format!("{amount}Ki") }));
    }
    found
}

/// Capacity without what is reserved and without the hard eviction limits.
fn allocatable(
    capacity: &BTreeMap<String, Quantity>,
    configuration: &Configuration,
) -> BTreeMap<String, Quantity> {
    let milli = crate::pod::resources::milli;
    let parse = |text: &str| quantity::Quantity::parse(text).unwrap_or(quantity::Quantity::ZERO);
    let reserved = |name: &str| {
        let maps = [&configuration.system_reserved, &configuration.kube_reserved];
        maps.into_iter().filter_map(|map| map.get(name)).map(|text| parse(text)).collect::<Vec<_>>()
    };
    let hard = |signal: Signal, total: i64| -> i64 {
        let hard = thresholds(configuration).into_iter().filter(|threshold| threshold.grace.is_zero());
        let limits = hard.filter(|threshold| threshold.signal == signal).map(|threshold| threshold.limit);
        limits
            .map(|limit| i64::try_from(limit.of(u64::try_from(total).unwrap_or(0))).unwrap_or(0))
            .max()
            .unwrap_or(0)
    };
    let mut offered = capacity.clone();
    if let Some(cpu) = capacity.get("cpu").map(milli) {
        let taken: i64 = reserved("cpu").iter().map(|quantity| quantity.milli_value()).sum();
        let left = (cpu - taken).max(0);
        let text = if left % 1000 == 0 { (left / 1000).to_string() } else { format!("{left}m") };
        offered.insert("cpu".into(), Quantity(text));
    }
    for (name, signal) in [("memory", Signal::Memory), ("ephemeral-storage", Signal::NodeBytes)] {
        let Some(total) = capacity.get(name).map(crate::pod::resources::whole) else { continue };
        let taken: i64 = reserved(name).iter().map(|quantity| quantity.value()).sum();
        let left = (total - taken - hard(signal, total)).max(0);
        let text = if left % 1024 == 0 && name == "memory" {
            format!("{}Ki", left / 1024)
        } else {
            left.to_string()
        };
        offered.insert(name.into(), Quantity(text));
    }
    offered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_and_eviction_limits_are_taken_off() {
        let capacity = BTreeMap::from([
            ("cpu".to_owned(), Quantity("2".into())),
            ("memory".to_owned(), Quantity("1048576Ki".into())),
        ]);
        let kube_reserved =
            BTreeMap::from([("cpu".into(), "250m".into()), ("memory".into(), "100Mi".into())]);
        let configuration = Configuration { kube_reserved, ..Configuration::default() };
        let offered = allocatable(&capacity, &configuration);
        assert_eq!(offered["cpu"].0, "1750m");
        assert_eq!(offered["memory"].0, format!("{}Ki", (1024 - 100 - 100) * 1024));
    }
}
