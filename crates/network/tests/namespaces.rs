//! Routes, masquerading and the CNI configuration against a real kernel, in network namespaces of the test's own.
//!
//! Needs root and the packages iproute2 and containernetworking-plugins.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use network::cni::Network;
use network::plan::{NodeInfo, plan};
use network::routes::Routes;
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

/// Namespaces that go when the test ends.
struct Namespaces {
    id: u32,
    names: Vec<&'static str>,
}

impl Namespaces {
    fn new(names: &[&'static str]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let made = Self {
            id: std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed),
            names: names.to_vec(),
        };
        for name in names {
            made.sh(&format!("ip netns add @{name}"));
            made.sh(&format!("ip -n @{name} link set lo up"));
        }
        made
    }

    /// Runs a command in which `@name` stands for a namespace.
    fn sh(&self, command: &str) -> String {
        let mut words = command.split_whitespace().map(|word| match word.split_once('@') {
            Some((before, name)) => format!("{before}cn{}-{name}", self.id),
            None => word.to_owned(),
        });
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self, name: &str) -> String {
        format!("/var/run/netns/cn{}-{name}", self.id)
    }

    /// A veth between two namespaces.
    fn join(&self, a: (&str, &str, &str), b: (&str, &str, &str)) {
        self.sh(&format!("ip -n @{} link add {} type veth peer name {} netns @{}", a.0, a.1, b.1, b.0));
        for (name, interface, address) in [a, b] {
            self.sh(&format!("ip -n @{name} addr add {address} dev {interface}"));
            self.sh(&format!("ip -n @{name} link set {interface} up"));
        }
    }

    fn within<T: Send>(&self, name: &str, run: impl FnOnce() -> T + Send) -> T {
        let path = self.path(name);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                run()
            });
            thread.join().unwrap()
        })
    }

    fn block_on<T: Send>(&self, name: &str, future: impl Future<Output = T> + Send) -> T {
        self.within(name, || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
        })
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            self.sh(&format!("ip netns del @{name}"));
        }
    }
}

fn node(range: &str, address: &str) -> NodeInfo {
    NodeInfo {
        pod_ranges: vec![range.parse().unwrap()],
        addresses: vec![address.parse().unwrap()],
        root: "/".into(),
    }
}

#[test]
fn routes_come_and_go_and_foreign_ones_stay() {
    let namespaces = Namespaces::new(&["node", "peer"]);
    namespaces.join(("node", "eth0", "192.168.5.1/24"), ("peer", "eth0", "192.168.5.2/24"));
    namespaces.sh("ip -n @node link add cni0 type bridge");
    namespaces.sh("ip -n @node addr add 10.244.0.1/24 dev cni0");
    namespaces.sh("ip -n @node route add 10.250.0.0/24 via 192.168.5.2");
    namespaces.sh("ip -n @node route add 10.244.9.0/24 via 192.168.5.9 proto static");
    let before = namespaces.sh("ip -n @node route");
    let mut nodes = BTreeMap::from([
        ("me".to_owned(), node("10.244.0.0/24", "192.168.5.1")),
        ("peer".to_owned(), node("10.244.1.0/24", "192.168.5.2")),
    ]);
    namespaces.block_on("node", async {
        let routes = Routes::open().unwrap();
        let host = routes.host_addresses("cni0").await.unwrap();
        let networks: Vec<String> = host.iter().map(|address| address.network.to_string()).collect();
        assert_eq!(networks, ["192.168.5.1/24"]);
        let wanted = plan("me", &nodes, &host, &[]).routes;
        for route in &wanted {
            routes.add(*route).await.unwrap();
        }
        assert_eq!(routes.present().await.unwrap(), wanted);
        assert!(
            namespaces.sh("ip -n @node route").contains("10.244.1.0/24 via 192.168.5.2 dev eth0 proto 213")
        );
        // Somebody else's route is in the way: refused, and left as it is.
        nodes.insert("other".to_owned(), node("10.244.9.0/24", "192.168.5.3"));
        let blocked = plan("me", &nodes, &host, &[]).routes.difference(&wanted).copied().next().unwrap();
        assert!(routes.add(blocked).await.is_err());
        for route in wanted {
            routes.delete(route).await.unwrap();
            routes.delete(route).await.unwrap();
        }
        assert_eq!(routes.present().await.unwrap(), BTreeSet::new());
        assert!(!networks.is_empty() && routes.host_addresses("nope").await.unwrap().len() == 2);
    });
    assert_eq!(namespaces.sh("ip -n @node route"), before);
}

#[test]
fn pods_hide_behind_the_node_only_towards_the_world() {
    let namespaces = Namespaces::new(&["pod", "node", "world"]);
    namespaces.join(("node", "p0", "10.244.0.1/24"), ("pod", "eth0", "10.244.0.5/24"));
    namespaces.join(("node", "w0", "192.168.6.1/24"), ("world", "eth0", "192.168.6.2/24"));
    // The world also plays a pod of another node.
    namespaces.sh("ip -n @world addr add 10.244.1.7/32 dev lo");
    namespaces.sh("ip -n @world route add 10.244.0.0/24 via 192.168.6.1");
    namespaces.sh("ip -n @node route add 10.244.1.0/24 via 192.168.6.2");
    namespaces.sh("ip -n @pod route add default via 10.244.0.1");
    namespaces.sh(&format!("nsenter --net={} sysctl -q -w net.ipv4.ip_forward=1", namespaces.path("node")));
    let listener = namespaces.within("world", || TcpListener::bind("0.0.0.0:7000").unwrap());
    let seen_from = |to: &str| {
        let to: SocketAddr = to.parse().unwrap();
        let client =
            namespaces.within("pod", || TcpStream::connect_timeout(&to, Duration::from_secs(2)).unwrap());
        let (_, peer) = listener.accept().unwrap();
        drop(client);
        peer.ip().to_string()
    };
    let ours: Vec<IpNet> = vec!["10.244.0.0/24".parse().unwrap()];
    let cluster: Vec<IpNet> = vec!["10.244.0.0/16".parse().unwrap()];
    assert_eq!(seen_from("192.168.6.2:7000"), "10.244.0.5");
    namespaces.within("node", || {
        let mut socket = nfnetlink::Socket::open().unwrap();
        assert!(!network::masquerade::in_place(&mut socket, &ours).unwrap());
        for _ in 0..2 {
            network::masquerade::apply(&mut socket, &ours, &cluster).unwrap();
        }
        assert!(network::masquerade::in_place(&mut socket, &ours).unwrap());
    });
    assert_eq!(seen_from("192.168.6.2:7000"), "192.168.6.1");
    assert_eq!(seen_from("10.244.1.7:7000"), "10.244.0.5");
    let listed = namespaces.sh(&format!("nsenter --net={} nft list ruleset", namespaces.path("node")));
    assert!(listed.contains("ip daddr 10.244.0.0/16 return") && listed.contains("masquerade"), "{listed}");
    namespaces
        .within("node", || network::masquerade::remove(&mut nfnetlink::Socket::open().unwrap()).unwrap());
    assert_eq!(seen_from("192.168.6.2:7000"), "10.244.0.5");
    assert_eq!(namespaces.sh(&format!("nsenter --net={} nft list ruleset", namespaces.path("node"))), "");
}

#[test]
fn the_plugins_understand_the_configuration() {
    let namespaces = Namespaces::new(&["node", "pod"]);
    let data = tempfile::tempdir().unwrap();
    let ranges: Vec<IpNet> = vec!["10.244.3.0/24".parse().unwrap(), "fd00:3::/64".parse().unwrap()];
    let network = Network { bridge: "cni0", mtu: 1400, ranges: &ranges, data_dir: data.path() };
    let conflist = network.conflist();
    let mut plugin = conflist["plugins"][0].clone();
    plugin["name"] = conflist["name"].clone();
    plugin["cniVersion"] = conflist["cniVersion"].clone();
    let result = run_plugin(&namespaces, "ADD", &plugin);
    let addresses: Vec<&str> =
        result["ips"].as_array().unwrap().iter().map(|ip| ip["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["10.244.3.2/24", "fd00:3::2/64"]);
    let routes = namespaces.sh("ip -n @pod route");
    assert!(routes.starts_with("default via 10.244.3.1 dev eth0"), "{routes}");
    assert!(namespaces.sh("ip -n @node addr show cni0").contains("10.244.3.1/24"));
    let link = namespaces.sh(&format!("nsenter --net={} bridge -d link", namespaces.path("node")));
    assert!(link.contains("hairpin on") && link.contains("mtu 1400"), "{link}");
    run_plugin(&namespaces, "DEL", &plugin);
}

/// Runs the bridge plug-in as the runtime does.
fn run_plugin(namespaces: &Namespaces, command: &str, configuration: &Value) -> Value {
    let mut child = Command::new("nsenter")
        .arg(format!("--net={}", namespaces.path("node")))
        .arg("/usr/lib/cni/bridge")
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "test")
        .env("CNI_NETNS", namespaces.path("pod"))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/usr/lib/cni")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(configuration.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command}: {text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}
