//! Namespaces, servers and clients for the kernel tests.

#![allow(
    clippy::unwrap_used,
    clippy::new_without_default,
    reason = "a test helper: what fails here fails the test"
)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nfnetlink::Family;
use nix::sched::{CloneFlags, setns};
use proxy::index::Index;
use proxy::program::nftables::NfTables;
use proxy::program::{Environment, LocalDetector, NodePortAddresses, Program, Report, ServiceChange};
use serde_json::{Value, json};

/// The node's address towards the client.
pub const NODE_IP: &str = "192.168.77.1";
/// The same over IPv6.
pub const NODE_IP6: &str = "fd00:77::1";
/// The client's address.
pub const CLIENT_IP: &str = "192.168.77.2";

/// A node with three pods on its bridge and a client outside. Each pod answers on TCP 8080 with its name and with the address it
/// was reached from.
pub struct Cluster {
    id: u32,
    index: Index,
    program: NfTables,
    program6: NfTables,
    _guard: Guard,
}

/// What a pod said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The pod.
    pub server: String,
    /// Whom it saw.
    pub client: String,
}

impl Cluster {
    /// Sets the namespaces up.
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "the kernel tests make network namespaces: run them as root"
        );
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed);
        let names = Names(id);
        for name in ["node", "client", "pod1", "pod2", "pod3"] {
            sh(&format!("ip netns add {}", names.of(name)));
            sh(&format!("ip -n {} link set lo up", names.of(name)));
        }
        let guard = Guard(id);
        let node = names.of("node");
        sh(&format!("ip -n {node} link add br0 type bridge"));
        sh(&format!("ip -n {node} addr add 10.244.0.1/24 dev br0"));
        sh(&format!("ip -n {node} link set br0 up"));
        names.join("client", "c0", &format!("{CLIENT_IP}/24"), NODE_IP);
        sh(&format!("ip -n {node} addr add {NODE_IP}/24 dev c0"));
        for number in 1..=3 {
            let (pod, port) = (format!("pod{number}"), format!("p{number}"));
            names.join(&pod, &port, &format!("10.244.0.1{number}/24"), "10.244.0.1");
            sh(&format!("ip -n {node} link set {port} master br0"));
            sh(&format!("ip netns exec {node} bridge link set dev {port} hairpin on"));
        }
        for setting in ["net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"] {
            sh(&format!("nsenter --net=/var/run/netns/{node} sysctl -q -w {setting}"));
        }
        // A default route that leads nowhere: what no rule catches is lost, not refused by the node itself.
        let client = names.of("client");
        sh(&format!("ip -n {node} link add up0 type veth peer name eth1 netns {client}"));
        sh(&format!("ip -n {node} link set up0 up"));
        sh(&format!("ip -n {client} link set eth1 up"));
        sh(&format!("ip -n {node} route add default dev up0"));
        names.add_ipv6();
        let mut index = Index::new("node");
        let status = json!({"addresses": [{"type": "InternalIP", "address": NODE_IP}, {"type": "InternalIP", "address": NODE_IP6}]});
        index.apply_node(
            &serde_json::from_value(json!({"metadata": {"name": "node"}, "status": status})).unwrap(),
        );
        let (program, program6) = names.within("node", || (program(Family::V4), program(Family::V6)));
        let cluster = Self { id, index, program, program6, _guard: guard };
        for pod in ["pod1", "pod2", "pod3"] {
            cluster.serve(pod);
        }
        cluster
    }

    /// Takes in objects (`{"delete": name}` deletes a Service with its slice) and programs them.
    pub fn apply(&mut self, objects: &[Value]) -> Report {
        self.take(objects);
        let changes = self.index.take_changes();
        self.program6.sync(&changes).unwrap();
        self.program.sync(&changes).unwrap()
    }

    /// The same, giving the changes.
    pub fn apply_changes(&mut self, objects: &[Value]) -> Vec<ServiceChange> {
        self.take(objects);
        let changes = self.index.take_changes();
        self.program.sync(&changes).unwrap();
        changes
    }

    fn take(&mut self, objects: &[Value]) {
        for object in objects {
            if let Some(name) = object["delete"].as_str() {
                self.index.delete_service("default", name);
                self.index.delete_slice("default", &format!("{name}-1"));
            } else if object.get("endpoints").is_some() {
                self.index.apply_slice(&serde_json::from_value(object.clone()).unwrap());
            } else {
                self.index.apply_service(&serde_json::from_value(object.clone()).unwrap());
            }
        }
    }

    /// The program, for what is not a change.
    pub fn program(&mut self) -> &mut impl Program {
        &mut self.program
    }

    /// What `--cleanup` does.
    pub fn clean_up(&mut self) {
        self.program.cleanup().unwrap();
        self.program6.cleanup().unwrap();
    }

    /// A new proxy process: it knows nothing.
    pub fn restart(&mut self) {
        self.index = Index::new("node");
        self.program = Names(self.id).within("node", || program(Family::V4));
    }

    /// Runs a command in a namespace and gives what it prints.
    pub fn run(&self, at: &str, command: &[&str]) -> String {
        let namespace = format!("--net=/var/run/netns/{}", Names(self.id).of(at));
        let output = Command::new("nsenter").arg(namespace).args(command).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// One connection.
    pub fn try_fetch(&self, from: &str, to: &str) -> io::Result<Answer> {
        let to: SocketAddr = to.parse().unwrap();
        Names(self.id).within(from, move || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(2500))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            let (server, client) = text.split_once(' ').unwrap_or((&text, ""));
            Ok(Answer { server: server.to_owned(), client: client.to_owned() })
        })
    }

    /// Some connections, which all succeed.
    pub fn fetch_many(&self, from: &str, to: &str, count: usize) -> Vec<Answer> {
        let fetch = || self.try_fetch(from, to).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        std::iter::repeat_with(fetch).take(count).collect()
    }

    /// Connects until `server` answers.
    pub fn fetch(&self, from: &str, to: &str, server: &str) -> Answer {
        let answers = self.fetch_many(from, to, 60);
        answers
            .into_iter()
            .find(|answer| answer.server == server)
            .unwrap_or_else(|| panic!("{server} never answered"))
    }

    /// A UDP socket in a namespace.
    pub fn udp_socket(&self, at: &str) -> UdpSocket {
        let socket = Names(self.id).within(at, || UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    }

    /// A UDP server that answers with the name of its pod until it is dropped.
    pub fn udp_server(&self, pod: &'static str, port: u16) -> UdpSocket {
        let socket = Names(self.id).within(pod, move || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        let server = socket.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((_, from)) = server.recv_from(&mut buffer) {
                server.send_to(pod.as_bytes(), from).unwrap();
            }
        });
        socket
    }

    /// Runs something on a thread in the node's namespace.
    pub fn in_node<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        Names(self.id).within("node", run)
    }

    fn serve(&self, pod: &str) {
        let listener = Names(self.id).within(pod, || TcpListener::bind("[::]:8080").unwrap());
        let name = pod.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer =
                    stream.peer_addr().map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default();
                // A client that went away already is no concern of the server.
                let _gone = write!(stream, "{name} {peer}").is_err();
            }
        });
    }
}

/// Removes the namespaces, also of a cluster that could not be set up.
struct Guard(u32);

impl Drop for Guard {
    fn drop(&mut self) {
        for name in ["node", "client", "pod1", "pod2", "pod3"] {
            sh(&format!("ip netns del {}", Names(self.0).of(name)));
        }
    }
}

fn program(family: Family) -> NfTables {
    let environment = Environment {
        local: LocalDetector::Ranges(vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd00:244::/64".parse().unwrap(),
        ]),
        masquerade_all: false,
        masquerade_bit: 14,
        node_ports: NodePortAddresses::Some(vec![NODE_IP.parse().unwrap(), NODE_IP6.parse().unwrap()]),
    };
    NfTables::new(family, environment).unwrap()
}

#[derive(Clone, Copy)]
struct Names(u32);

impl Names {
    fn of(self, name: &str) -> String {
        format!("kp{}-{name}", self.0)
    }

    /// A veth from the node to a namespace, with a default route back.
    fn join(self, name: &str, node_port: &str, address: &str, gateway: &str) {
        let (node, other) = (self.of("node"), self.of(name));
        sh(&format!("ip -n {node} link add {node_port} type veth peer name eth0 netns {other}"));
        sh(&format!("ip -n {node} link set {node_port} up"));
        sh(&format!("ip -n {other} addr add {address} dev eth0"));
        sh(&format!("ip -n {other} link set eth0 up"));
        sh(&format!("ip -n {other} route add default via {gateway}"));
    }

    /// Addresses and routes of the other family, on the same interfaces.
    fn add_ipv6(self) {
        let node = self.of("node");
        sh(&format!("nsenter --net=/var/run/netns/{node} sysctl -q -w net.ipv6.conf.all.forwarding=1"));
        sh(&format!(
            "nsenter --net=/var/run/netns/{node} sysctl -q -w net.bridge.bridge-nf-call-ip6tables=1"
        ));
        sh(&format!("ip -n {node} addr add fd00:244::1/64 dev br0 nodad"));
        sh(&format!("ip -n {node} addr add {NODE_IP6}/64 dev c0 nodad"));
        sh(&format!("ip -6 -n {node} route add default dev up0"));
        let others = [
            ("client", "fd00:77::2", NODE_IP6),
            ("pod1", "fd00:244::11", "fd00:244::1"),
            ("pod2", "fd00:244::12", "fd00:244::1"),
            ("pod3", "fd00:244::13", "fd00:244::1"),
        ];
        for (name, address, gateway) in others {
            sh(&format!("ip -n {} addr add {address}/64 dev eth0 nodad", self.of(name)));
            sh(&format!("ip -6 -n {} route add default via {gateway}", self.of(name)));
        }
    }

    fn within<T: Send>(self, name: &str, run: impl FnOnce() -> T + Send) -> T {
        let path = format!("/var/run/netns/{}", self.of(name));
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                run()
            });
            thread.join().unwrap()
        })
    }
}

/// Waits where only time can tell.
#[allow(clippy::disallowed_methods, reason = "a timeout of the kernel's is what is tested")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn sh(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
