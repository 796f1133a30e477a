//! What must hold on a host before it becomes a node. Every check names its cure, and all that fail are told at once.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::host::Host;
use crate::progress;

/// What a check found.
enum Finding {
    /// It must be mended first.
    Error(String, &'static str),
    /// It may become a problem.
    Warning(String, &'static str),
}

/// A port that a component will listen on.
pub struct Port {
    /// The number.
    pub number: u16,
    /// The program that will own it, whose presence there is fine.
    pub owner: &'static str,
}

/// Ports of a worker node.
pub const NODE_PORTS: [Port; 3] = [
    Port { number: 10250, owner: "kubelet" },
    Port { number: 10248, owner: "kubelet" },
    Port { number: 10256, owner: "kube-proxy" },
];

/// Ports of a control-plane node, beside those of every node. The apiserver's own port is a setting.
pub const CONTROL_PLANE_PORTS: [Port; 4] = [
    Port { number: 2379, owner: "etcd" },
    Port { number: 2380, owner: "etcd" },
    Port { number: 10257, owner: "kube-controller" },
    Port { number: 10259, owner: "kube-scheduler" },
];

/// Programs that a node needs, with the Debian package that brings each.
const PROGRAMS: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
];

/// Runs all checks. `ignore` turns the errors into warnings.
pub fn run(host: &Host, ports: &[&Port], ignore: bool) -> Result<()> {
    let mut findings = Vec::new();
    root(&mut findings);
    programs(&mut findings);
    cgroups(&mut findings);
    swap(&mut findings);
    space(host, &mut findings);
    clock(&mut findings);
    firewall(&mut findings);
    for port in ports {
        port_free(port, &mut findings);
    }
    let mut errors = Vec::new();
    for finding in findings {
        match finding {
            Finding::Error(cause, cure) if !ignore => errors.push(format!("{cause}\n      cure: {cure}")),
            Finding::Error(cause, cure) | Finding::Warning(cause, cure) => {
                progress::warn(format!("{cause}\n           cure: {cure}"));
            }
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let count = errors.len();
    let list: String = errors.iter().map(|error| format!("\n    - {error}")).collect();
    Err(Failure::new("use this host as a node", format!("{count} check(s) failed:{list}"))
        .cure("mend these and run the same command again; --ignore-preflight-errors goes on regardless"))
}

fn root(findings: &mut Vec<Finding>) {
    if !nix::unistd::geteuid().is_root() {
        findings.push(Finding::Error("this is not run by root".into(), "run it with sudo"));
    }
}

fn programs(findings: &mut Vec<Finding>) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(name, _)| !there(name)).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let packages = "apt-get install containerd runc nftables iproute2 mount util-linux";
        findings.push(Finding::Error(format!("programs are missing: {}", missing.join(", ")), packages));
    }
    if !super::runtime::containerd::cni_bin().join("bridge").exists() {
        findings.push(Finding::Error(
            "the CNI plug-ins are neither in /opt/cni/bin nor in /usr/lib/cni".into(),
            "apt-get install containernetworking-plugins",
        ));
    }
}

fn cgroups(findings: &mut Vec<Finding>) {
    let available = if let Ok(list) = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        list.split_whitespace().map(str::to_owned).collect()
    } else {
        let folders = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        folders.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let missing: Vec<&str> = ["cpu", "cpuset", "memory", "pids"]
        .into_iter()
        .filter(|name| !available.iter().any(|have| have == name))
        .collect();
    if !missing.is_empty() {
        findings.push(Finding::Error(
            format!("the kernel offers no cgroup controller for: {}", missing.join(", ")),
            "add cgroup_enable=memory (and the others) to the kernel's command line and reboot",
        ));
    }
    let v1 = Path::new("/sys/fs/cgroup/memory");
    let pods = if v1.is_dir() { v1 } else { Path::new("/sys/fs/cgroup") };
    if nix::unistd::access(pods, nix::unistd::AccessFlags::W_OK) == Err(nix::errno::Errno::EROFS) {
        findings.push(Finding::Error(
            format!("{} is mounted read-only, so pods cannot be given cgroups", pods.display()),
            "run this on the host itself, or in a container whose cgroups are writable",
        ));
    }
}

fn swap(findings: &mut Vec<Finding>) {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let devices: Vec<&str> =
        swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    if !devices.is_empty() {
        findings.push(Finding::Error(
            format!("swap is on: {}; the kubelet refuses to start with it", devices.join(", ")),
            "swapoff -a, and remove the swap line from /etc/fstab so that it stays off after a reboot",
        ));
    }
}

fn space(host: &Host, findings: &mut Vec<Finding>) {
    const NEEDED_BYTES: u64 = 2 << 30;
    let mut folder = host.state();
    while !folder.exists() && folder.pop() {}
    if let Ok(status) = nix::sys::statvfs::statvfs(&folder) {
        let free = status.blocks_available() * status.fragment_size();
        if free < NEEDED_BYTES {
            findings.push(Finding::Error(
                format!("{} has {} MiB free; images and etcd need 2 GiB", folder.display(), free >> 20),
                "free some space: the kubelet evicts pods from a node whose disk is full",
            ));
        }
    }
}

fn clock(findings: &mut Vec<Finding>) {
    // Certificates made by a clock that stands in the past are valid nowhere else.
    const RELEASE_OF_V1_36: i64 = 1_776_000_000;
    if jiff::Timestamp::now().as_second() < RELEASE_OF_V1_36 {
        findings.push(Finding::Error(
            format!("the clock says {}", jiff::Timestamp::now()),
            "set it: timedatectl set-ntp true (or date -s); certificates made now would not be valid elsewhere",
        ));
    }
}

fn firewall(findings: &mut Vec<Finding>) {
    let Ok(output) = Command::new("nft").args(["list", "ruleset"]).output() else { return };
    let rules = String::from_utf8_lossy(&output.stdout);
    let dropping = rules.lines().any(|line| line.contains("hook input") && line.contains("policy drop"));
    if dropping {
        findings.push(Finding::Warning(
            "a firewall drops incoming traffic by default".into(),
            "allow TCP 6443, 10250 and 30000-32767 from the other nodes, and the pods' range",
        ));
    }
}

fn port_free(port: &Port, findings: &mut Vec<Finding>) {
    let Some(owner) = listener(port.number) else { return };
    if owner.name.starts_with(port.owner) && port.owner != "etcd" {
        return;
    }
    // Debian's package starts an etcd of its own; ours is the one with the cluster's certificates.
    let (ours, cure) = match port.owner {
        "etcd" if owner.name == "etcd" => (
            owner.command().contains("/etc/kubernetes/pki/etcd"),
            "it is not the cluster's; stop it: systemctl disable --now etcd",
        ),
        _ => (false, "stop that program, or `bootstrap reset` if it is left from an earlier cluster"),
    };
    if !ours {
        findings.push(Finding::Error(
            format!("port {} of {} is taken by {owner}", port.number, port.owner),
            cure,
        ));
    }
}

/// Whoever listens on a port.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    name: String,
    /// Unknown for processes of other PID namespaces.
    pid: Option<u32>,
}

impl Listener {
    /// The command line, its words separated by spaces; empty when it is not known.
    fn command(&self) -> String {
        let words = self.pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok());
        words.unwrap_or_default().replace('\0', " ")
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{} (process {pid})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Who listens on a TCP port in this network namespace.
fn listener(port: u16) -> Option<Listener> {
    const LISTEN: &str = "0A";
    let mut inode = None;
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1).and_then(|address| address.rsplit(':').next());
            let local_port = local.and_then(|hex| u16::from_str_radix(hex, 16).ok());
            if fields.get(3) == Some(&LISTEN) && local_port == Some(port) {
                inode = fields.get(9).map(|inode| format!("socket:[{inode}]"));
            }
        }
    }
    let inode = inode?;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        for descriptor in descriptors {
            if fs::read_link(descriptor.path()).is_ok_and(|target| target == Path::new(&inode)) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(Listener { name: name.trim().to_owned(), pid: Some(pid) });
            }
        }
    }
    Some(Listener { name: "another program".to_owned(), pid: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_reported_with_its_owner() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let number = socket.local_addr().unwrap().port();
        let mut findings = Vec::new();
        port_free(&Port { number, owner: "kubelet" }, &mut findings);
        let [Finding::Error(cause, _)] = findings.as_slice() else { panic!("one error expected") };
        assert!(cause.contains(&number.to_string()) && cause.contains("process"), "{cause}");
        drop(socket);
        assert_eq!(listener(number), None);
    }
}
