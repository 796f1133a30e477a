//! The command lines of etcd and the control plane, and the two ways to run them: as static pods or as systemd units.

use std::path::{Path, PathBuf};

use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::cluster::Cluster;
use crate::failure::{Attempt, Result};
use crate::files::{self, Mode};
use crate::host::Host;
use crate::runtime::images::Bundle;

/// One component of the control plane.
pub struct Component {
    /// Name of program, image, pod and unit.
    pub name: &'static str,
    /// Arguments, without the program.
    pub arguments: Vec<String>,
    /// Host folders that it needs, with whether it writes there.
    mounts: Vec<Mount>,
    /// Its health endpoint.
    probe: Probe,
    /// Requested CPU, so that pods cannot starve it.
    cpu: &'static str,
}

#[derive(Serialize)]
struct Mount {
    name: &'static str,
    path: PathBuf,
    read_only: bool,
}

#[derive(Serialize)]
struct Probe {
    host: String,
    port: u16,
    scheme: &'static str,
    live: &'static str,
    ready: &'static str,
}

/// etcd and the three components, in the order they depend on each other.
pub fn components(cluster: &Cluster, host: &Host) -> Vec<Component> {
    vec![etcd(cluster, host), apiserver(cluster, host), controller_manager(cluster, host), scheduler(host)]
}

/// Writes the static-pod manifest of each component into the kubelet's folder.
pub fn write_manifests(components: &[Component], host: &Host, bundle: &Bundle) -> Result<()> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let template = include_str!("../../../deploy/static-pods/component.yaml");
    templates.add_template("component", template).attempt(|| "read the static-pod template")?;
    for component in components {
        let attempted = || format!("render the manifest of {}", component.name);
        let template = templates.get_template("component").attempt(attempted)?;
        let program =
            if component.name == "etcd" { "/usr/bin/etcd".into() } else { format!("/{}", component.name) };
        let mut command = vec![program];
        command.extend(component.arguments.iter().cloned());
        let text = template
            .render(context! {
                name => component.name,
                image => bundle.reference(component.name)?,
                command => command,
                mounts => Value::from(Serde(&component.mounts)),
                probe => Value::from(Serde(&component.probe)),
                cpu => component.cpu,
            })
            .attempt(attempted)?;
        files::write(&host.manifests().join(format!("{}.yaml", component.name)), text, Mode::Secret)?;
    }
    Ok(())
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn file(name: &str, folder: &Path, file: &str) -> String {
    flag(name, folder.join(file).display())
}

fn etcd(cluster: &Cluster, host: &Host) -> Component {
    let pki = host.pki().join("etcd");
    let (address, node) = (cluster.advertise, &cluster.node);
    let arguments = vec![
        flag("name", node),
        flag("data-dir", host.etcd_data().display()),
        flag("advertise-client-urls", format_args!("https://{address}:2379")),
        flag("listen-client-urls", format_args!("https://127.0.0.1:2379,https://{address}:2379")),
        flag("initial-advertise-peer-urls", format_args!("https://{address}:2380")),
        flag("listen-peer-urls", format_args!("https://{address}:2380")),
        flag("initial-cluster", format_args!("{node}=https://{address}:2380")),
        flag("listen-metrics-urls", "http://127.0.0.1:2381"),
        file("cert-file", &pki, "server.crt"),
        file("key-file", &pki, "server.key"),
        flag("client-cert-auth", true),
        file("trusted-ca-file", &pki, "ca.crt"),
        file("peer-cert-file", &pki, "peer.crt"),
        file("peer-key-file", &pki, "peer.key"),
        flag("peer-client-cert-auth", true),
        file("peer-trusted-ca-file", &pki, "ca.crt"),
        flag("snapshot-count", 10_000),
    ];
    Component {
        name: "etcd",
        arguments,
        mounts: vec![
            Mount { name: "etcd-certs", path: pki, read_only: true },
            Mount { name: "etcd-data", path: host.etcd_data(), read_only: false },
        ],
        probe: Probe {
            host: "127.0.0.1".into(),
            port: 2381,
            scheme: "HTTP",
            live: "/health",
            ready: "/health",
        },
        cpu: "100m",
    }
}

fn apiserver(cluster: &Cluster, host: &Host) -> Component {
    let pki = host.pki();
    let arguments = vec![
        flag("advertise-address", cluster.advertise),
        flag("secure-port", cluster.port),
        flag("allow-privileged", true),
        flag("authorization-mode", "Node,RBAC"),
        flag("enable-admission-plugins", "NodeRestriction"),
        flag("enable-bootstrap-token-auth", true),
        file("client-ca-file", &pki, "ca.crt"),
        file("tls-cert-file", &pki, "apiserver.crt"),
        file("tls-private-key-file", &pki, "apiserver.key"),
        flag("etcd-servers", "https://127.0.0.1:2379"),
        file("etcd-cafile", &pki, "etcd/ca.crt"),
        file("etcd-certfile", &pki, "apiserver-etcd-client.crt"),
        file("etcd-keyfile", &pki, "apiserver-etcd-client.key"),
        file("kubelet-client-certificate", &pki, "apiserver-kubelet-client.crt"),
        file("kubelet-client-key", &pki, "apiserver-kubelet-client.key"),
        flag("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
        file("proxy-client-cert-file", &pki, "front-proxy-client.crt"),
        file("proxy-client-key-file", &pki, "front-proxy-client.key"),
        file("requestheader-client-ca-file", &pki, "front-proxy-ca.crt"),
        flag("requestheader-allowed-names", "front-proxy-client"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("service-account-issuer", format_args!("https://kubernetes.default.svc.{}", cluster.domain)),
        file("service-account-key-file", &pki, "sa.pub"),
        file("service-account-signing-key-file", &pki, "sa.key"),
        flag("service-cluster-ip-range", &cluster.service_cidr),
    ];
    Component {
        name: "kube-apiserver",
        arguments,
        mounts: vec![Mount { name: "k8s-certs", path: pki, read_only: true }],
        probe: Probe {
            host: cluster.advertise.to_string(),
            port: cluster.port,
            scheme: "HTTPS",
            live: "/livez",
            ready: "/readyz",
        },
        cpu: "250m",
    }
}

fn controller_manager(cluster: &Cluster, host: &Host) -> Component {
    let pki = host.pki();
    let kubeconfig = host.kubeconfig("controller-manager.conf");
    let arguments = vec![
        flag("kubeconfig", kubeconfig.display()),
        flag("authentication-kubeconfig", kubeconfig.display()),
        flag("authorization-kubeconfig", kubeconfig.display()),
        flag("bind-address", "127.0.0.1"),
        flag("leader-elect", true),
        flag("use-service-account-credentials", true),
        flag("controllers", "*,bootstrap-signer-controller,token-cleaner-controller"),
        file("client-ca-file", &pki, "ca.crt"),
        file("root-ca-file", &pki, "ca.crt"),
        file("cluster-signing-cert-file", &pki, "ca.crt"),
        file("cluster-signing-key-file", &pki, "ca.key"),
        file("service-account-private-key-file", &pki, "sa.key"),
        file("requestheader-client-ca-file", &pki, "front-proxy-ca.crt"),
        flag("allocate-node-cidrs", true),
        flag("cluster-cidr", &cluster.pod_cidr),
        flag("service-cluster-ip-range", &cluster.service_cidr),
        flag("cluster-name", "kubernetes"),
    ];
    Component {
        name: "kube-controller-manager",
        arguments,
        mounts: vec![
            Mount { name: "k8s-certs", path: pki, read_only: true },
            Mount { name: "kubeconfig", path: kubeconfig, read_only: true },
        ],
        probe: Probe {
            host: "127.0.0.1".into(),
            port: 10257,
            scheme: "HTTPS",
            live: "/healthz",
            ready: "/healthz",
        },
        cpu: "100m",
    }
}

fn scheduler(host: &Host) -> Component {
    let kubeconfig = host.kubeconfig("scheduler.conf");
    let arguments = vec![
        flag("kubeconfig", kubeconfig.display()),
        flag("authentication-kubeconfig", kubeconfig.display()),
        flag("authorization-kubeconfig", kubeconfig.display()),
        flag("bind-address", "127.0.0.1"),
        flag("leader-elect", true),
    ];
    Component {
        name: "kube-scheduler",
        arguments,
        mounts: vec![Mount { name: "kubeconfig", path: kubeconfig, read_only: true }],
        probe: Probe {
            host: "127.0.0.1".into(),
            port: 10259,
            scheme: "HTTPS",
            live: "/livez",
            ready: "/readyz",
        },
        cpu: "100m",
    }
}
