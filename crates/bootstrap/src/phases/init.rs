//! `bootstrap init`: from a bare host to a control plane with one node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::Client;
use serde_json::{Value, json};

use super::{NodeFlags, addons, kubelet_program, start_runtime};
use crate::cluster::{Cluster, KUBERNETES_VERSION, Settings, outgoing_address};
use crate::control_plane::{self, Component};
use crate::failure::{Attempt, Result};
use crate::files;
use crate::host::Host;
use crate::kubeconfig::{self, Credential};
use crate::pki::{self, Authority, Request, Usage};
use crate::preflight::{self, CONTROL_PLANE_PORTS, NODE_PORTS, Port};
use crate::progress::{self, phase};
use crate::runtime::images::Bundle;
use crate::runtime::service::Manager;
use crate::token::{self, Token};
use crate::{api, kubelet};

/// How the control plane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ControlPlane {
    /// As static pods under this node's kubelet.
    StaticPods,
    /// As systemd units (or under the supervisor where systemd isn't process 1).
    Systemd,
}

/// Flags of `bootstrap init`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    node: NodeFlags,
    /// How the control plane runs.
    #[arg(long, value_enum, default_value = "static-pods")]
    control_plane: ControlPlane,
    /// Let ordinary pods run on this node: leave out the control-plane taint.
    #[arg(long)]
    schedulable: bool,
    /// Token for nodes that join; by default a new one.
    #[arg(long, value_name = "ID.SECRET")]
    token: Option<String>,
    /// Hours until the token ends; 0 for never.
    #[arg(long, default_value_t = 24)]
    token_ttl_hours: u64,
}

/// How long the control plane may take to come up before the program explains what holds it.
const CONTROL_PLANE_LIMIT: Duration = Duration::from_secs(180);
/// How long the node may take to become Ready, network included.
const NODE_LIMIT: Duration = Duration::from_secs(180);

/// Runs every phase.
pub async fn run(flags: &Flags) -> Result<()> {
    let cluster = Cluster::decide(&flags.settings)?;
    let host = flags.node.place.host();
    let services = Manager::detect(&host);
    let token = flags.token.as_deref().map_or_else(|| Ok(Token::generate()), Token::parse)?;

    phase("preflight", async { preflight(flags, &cluster, &host) }).await?;
    let bundle = phase("runtime", start_runtime(&host, &services, &flags.node.images)).await?;
    let authority = phase("certs", async { certificates(&cluster, &host) }).await?;
    phase("kubeconfig", async { kubeconfigs(&cluster, &host, &authority) }).await?;
    let components = control_plane::components(&cluster, &host);
    phase("kubelet", start_kubelet(flags, &cluster, &host, &services)).await?;
    phase("control-plane", async { start_control_plane(flags, &components, &host, &services, &bundle) })
        .await?;
    let client = api::connect(&host.kubeconfig("super-admin.conf")).await?;
    phase("wait-control-plane", wait_control_plane(&client, &cluster, &host, &services)).await?;
    phase("upload-config", upload_config(&client, &cluster)).await?;
    phase("bootstrap-token", publish(&client, flags, &cluster, authority.certificate(), &token)).await?;
    phase("addons", addons::install(&client, &cluster, &bundle)).await?;
    phase("node", node(&client, flags, &cluster, &host, &services)).await?;
    phase("dns", wait_dns(&client)).await?;

    let join = token::join_command(&cluster.server(), &token, authority.certificate())?;
    println!("\nThe control plane of {} is up.", cluster.server());
    println!(
        "\nTo use it:\n  export KUBECONFIG={}\n  kubectl get nodes",
        host.kubeconfig("admin.conf").display()
    );
    println!("\nTo add a node, run there as root:\n  {join}");
    Ok(())
}

fn preflight(flags: &Flags, cluster: &Cluster, host: &Host) -> Result<()> {
    let apiserver = Port { number: cluster.port, owner: "kube-apiserver" };
    let mut ports: Vec<&Port> = NODE_PORTS.iter().chain(&CONTROL_PLANE_PORTS).collect();
    ports.push(&apiserver);
    preflight::run(host, &ports, flags.node.ignore_preflight_errors)
}

/// Makes every key and certificate; returns the cluster's CA.
fn certificates(cluster: &Cluster, host: &Host) -> Result<Authority> {
    let folder = host.pki();
    let client =
        |common_name, organizations| Request { common_name, organizations, usage: Usage::Client, names: &[] };
    let ca = Authority::load_or_create(&folder, "ca", "kubernetes")?;
    let names = cluster.apiserver_names();
    let server =
        Request { common_name: "kube-apiserver", organizations: &[], usage: Usage::Server, names: &names };
    ca.issue_to(&folder, "apiserver", &server)?;
    ca.issue_to(&folder, "apiserver-kubelet-client", &client("kube-apiserver-kubelet-client", &[]))?;

    let front = Authority::load_or_create(&folder, "front-proxy-ca", "front-proxy-ca")?;
    front.issue_to(&folder, "front-proxy-client", &client("front-proxy-client", &[]))?;

    let etcd_folder = folder.join("etcd");
    let etcd = Authority::load_or_create(&etcd_folder, "ca", "etcd-ca")?;
    let names =
        ["localhost".to_owned(), "127.0.0.1".into(), cluster.advertise.to_string(), cluster.node.clone()];
    let member =
        Request { common_name: &cluster.node, organizations: &[], usage: Usage::Both, names: &names };
    etcd.issue_to(&etcd_folder, "server", &member)?;
    etcd.issue_to(&etcd_folder, "peer", &member)?;
    etcd.issue_to(&etcd_folder, "healthcheck-client", &client("kube-etcd-healthcheck-client", &[]))?;
    etcd.issue_to(&folder, "apiserver-etcd-client", &client("kube-apiserver-etcd-client", &[]))?;

    pki::service_account_key(&folder)?;
    Ok(ca)
}

fn kubeconfigs(cluster: &Cluster, host: &Host, authority: &Authority) -> Result<()> {
    let node_user = format!("system:node:{}", cluster.node);
    let users: [(&str, &str, &[&str]); 5] = [
        ("admin.conf", "kubernetes-admin", &["kubeadm:cluster-admins"]),
        ("super-admin.conf", "kubernetes-super-admin", &["system:masters"]),
        ("controller-manager.conf", "system:kube-controller-manager", &[]),
        ("scheduler.conf", "system:kube-scheduler", &[]),
        ("kubelet.conf", &node_user, &["system:nodes"]),
    ];
    for (file, user, groups) in users {
        let path = host.kubeconfig(file);
        if kubeconfig_is_current(&path, cluster, authority) {
            continue;
        }
        let request = Request { common_name: user, organizations: groups, usage: Usage::Client, names: &[] };
        let identity = authority.issue(&request)?;
        let credential = Credential::Certificate(&identity);
        kubeconfig::write(&path, &cluster.server(), authority.certificate(), user, &credential)?;
    }
    Ok(())
}

/// Whether a kubeconfig of this name leads to this cluster already; the kubelet rotates its own, so it must be kept.
fn kubeconfig_is_current(path: &Path, cluster: &Cluster, authority: &Authority) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    kubeconfig::server_of(&text)
        .is_ok_and(|(server, pem)| server == cluster.server() && pem == authority.certificate())
}

async fn start_kubelet(flags: &Flags, cluster: &Cluster, host: &Host, services: &Manager) -> Result<()> {
    let shared = kubelet::shared_config(cluster.dns_ip, &cluster.domain);
    kubelet::write_config(host, shared, flags.node.resolv_conf.as_deref())?;
    let address = flags.node.node_ip.unwrap_or(cluster.advertise);
    services.ensure(host, "kubelet", kubelet::command(host, &kubelet_program()?, &cluster.node, address))?;
    kubelet::wait_healthy(host, services).await
}

fn start_control_plane(
    flags: &Flags,
    components: &[Component],
    host: &Host,
    services: &Manager,
    bundle: &Bundle,
) -> Result<()> {
    // etcd's folder must be private, or etcd warns at every start.
    files::make_dir(&host.etcd_data())?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(host.etcd_data(), private).attempt(|| "protect etcd's data folder")?;
    if flags.control_plane == ControlPlane::StaticPods {
        return control_plane::write_manifests(components, host, bundle);
    }
    let folder = kubelet_program()?.with_file_name("");
    for component in components {
        let program = if component.name == "etcd" {
            PathBuf::from("/usr/bin/etcd")
        } else {
            folder.join(component.name)
        };
        let mut command = vec![program.display().to_string()];
        command.extend(component.arguments.iter().cloned());
        services.ensure(host, component.name, command)?;
    }
    Ok(())
}

async fn wait_control_plane(
    client: &Client,
    cluster: &Cluster,
    host: &Host,
    services: &Manager,
) -> Result<()> {
    let waited = api::wait_ready(client, &cluster.server(), CONTROL_PLANE_LIMIT).await;
    waited.map_err(|failure| {
        let (name, log) = suspect(host, services);
        failure
            .during("bring the control plane up")
            .evidence(&format!("the end of the log of {name}:\n{log}"))
            .cure(format!(
                "mend what the log names and run init again; all logs: {} and {}",
                host.pod_logs().display(),
                services.log_hint(host, "kubelet")
            ))
    })
}

/// The component whose log explains best why the apiserver isn't ready: the first of the chain etcd → apiserver that has
/// none, or else the apiserver itself.
fn suspect(host: &Host, services: &Manager) -> (&'static str, String) {
    for name in ["etcd", "kube-apiserver"] {
        let supervised = services.log_tail(host, name, 12);
        let log = if supervised.is_empty() { pod_log_tail(host, name) } else { supervised };
        if log.is_empty() {
            return ("kubelet", services.log_tail(host, "kubelet", 12));
        }
        if name == "kube-apiserver" {
            return (name, log);
        }
    }
    ("kubelet", services.log_tail(host, "kubelet", 12))
}

/// The end of the newest log of a static pod.
fn pod_log_tail(host: &Host, name: &str) -> String {
    let prefix = format!("kube-system_{name}-");
    let mut newest: Option<(std::time::SystemTime, PathBuf)> = None;
    for pod in std::fs::read_dir(host.pod_logs()).into_iter().flatten().flatten() {
        if !pod.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        for log in std::fs::read_dir(pod.path().join(name)).into_iter().flatten().flatten() {
            let Ok(modified) = log.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if newest.as_ref().is_none_or(|(at, _)| *at < modified) {
                newest = Some((modified, log.path()));
            }
        }
    }
    newest.map_or_else(String::new, |(_, path)| files::tail(&path, 12))
}

/// Stores what joining nodes and later commands read.
async fn upload_config(client: &Client, cluster: &Cluster) -> Result<()> {
    let attempted = || "render the cluster's configuration";
    let shared = kubelet::shared_config(cluster.dns_ip, &cluster.domain);
    let cluster_configuration = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": "kubernetes",
        "kubernetesVersion": KUBERNETES_VERSION,
        "controlPlaneEndpoint": cluster.server().trim_start_matches("https://"),
        "networking": {
            "dnsDomain": cluster.domain,
            "podSubnet": cluster.pod_cidr,
            "serviceSubnet": cluster.service_cidr,
        },
    });
    let texts = [
        ("kubelet-config", "kubelet", serde_yaml::to_string(&shared).attempt(attempted)?),
        (
            "kubeadm-config",
            "ClusterConfiguration",
            serde_yaml::to_string(&cluster_configuration).attempt(attempted)?,
        ),
    ];
    api::apply_all(client, include_str!("../../../../deploy/bootstrap/rbac.yaml")).await?;
    for (name, key, text) in texts {
        api::apply(client, config_map("kube-system", name, json!({key: text}))).await?;
    }
    Ok(())
}

/// Publishes the token and the signed description of the cluster that nodes find it by.
async fn publish(
    client: &Client,
    flags: &Flags,
    cluster: &Cluster,
    authority: &str,
    token: &Token,
) -> Result<()> {
    let lifetime = (flags.token_ttl_hours > 0).then(|| Duration::from_secs(flags.token_ttl_hours * 3600));
    api::apply(client, token.secret_object(lifetime, "made by bootstrap init")).await?;
    let info = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {
            "server": cluster.server(),
            "certificate-authority-data": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, authority),
        }}],
        "contexts": [], "users": [], "preferences": {}, "current-context": "",
    });
    let info = serde_yaml::to_string(&info).attempt(|| "render cluster-info")?;
    api::apply(client, config_map("kube-public", "cluster-info", json!({"kubeconfig": info}))).await
}

fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// Waits for this node and marks it as part of the control plane.
async fn node(
    client: &Client,
    flags: &Flags,
    cluster: &Cluster,
    host: &Host,
    services: &Manager,
) -> Result<()> {
    api::wait_node_ready(client, &cluster.node, NODE_LIMIT).await.map_err(|failure| {
        failure
            .evidence(&services.log_tail(host, "kubelet", 8))
            .cure(format!("see the kubelet's log: {}", services.log_hint(host, "kubelet")))
    })?;
    let mut patch = json!({"metadata": {"labels": {
        "node-role.kubernetes.io/control-plane": "",
        "node.kubernetes.io/exclude-from-external-load-balancers": "",
    }}});
    if !flags.schedulable {
        patch["spec"] =
            json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]});
    }
    patch["apiVersion"] = json!("v1");
    patch["kind"] = json!("Node");
    patch["metadata"]["name"] = json!(cluster.node);
    progress::note(format!("node {} is Ready", cluster.node));
    api::apply(client, patch).await
}

async fn wait_dns(client: &Client) -> Result<()> {
    api::wait_workload(client, "daemonsets", "kube-proxy", "kube-proxy", NODE_LIMIT).await?;
    api::wait_workload(client, "deployments", "coxswain-dns", "kube-dns", NODE_LIMIT).await
}

/// The address to put into a kubeconfig when a node has none of its own.
pub fn default_node_ip(flags: &NodeFlags) -> Result<std::net::IpAddr> {
    flags.node_ip.map_or_else(outgoing_address, Ok)
}
