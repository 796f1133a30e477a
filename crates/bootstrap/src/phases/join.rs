//! `bootstrap join`: makes this host a worker node of an existing cluster.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::init::default_node_ip;
use super::{NodeFlags, kubelet_program, start_runtime};
use crate::cluster::node_name;
use crate::failure::{Attempt, Failure, Result};
use crate::files::{self, Mode};
use crate::kubeconfig::{self, Credential};
use crate::preflight::{self, NODE_PORTS};
use crate::progress::{self, phase};
use crate::runtime::service::Manager;
use crate::token::{self, Discovered, Token};
use crate::{api, kubelet};

/// Flags of `bootstrap join`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// The apiserver, as HOST:PORT.
    server: String,
    /// Bootstrap token, from `bootstrap token create --print-join-command`.
    #[arg(long, value_name = "ID.SECRET")]
    token: String,
    /// Accept only a CA with this public key: `sha256:HEX`. May be repeated.
    #[arg(long, value_name = "PIN")]
    discovery_token_ca_cert_hash: Vec<String>,
    /// Trust whatever CA the token's signature vouches for. Whoever knows the token could then pose as the cluster.
    #[arg(long)]
    discovery_token_unsafe_skip_ca_verification: bool,
    /// Name of this node; by default the host's name.
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    #[command(flatten)]
    node: NodeFlags,
}

/// Tells the network agent where the files of a node are that shares its host's file system with others.
const NODE_ROOT: &str = "network.coxswain.io/node-root";
/// How long the kubelet may take to be given its certificate and become Ready.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs every phase.
pub async fn run(flags: &Flags) -> Result<()> {
    let node = node_name(flags.node_name.as_deref())?;
    let host = flags.node.place.host();
    let services = Manager::detect(&host);
    let token = Token::parse(&flags.token)?;
    if flags.discovery_token_ca_cert_hash.is_empty() && !flags.discovery_token_unsafe_skip_ca_verification {
        return Err(Failure::new("join", "nothing says which CA is the cluster's")
            .cure("add --discovery-token-ca-cert-hash from `bootstrap token create --print-join-command`"));
    }
    let ports: Vec<_> = NODE_PORTS.iter().collect();
    phase("preflight", async { preflight::run(&host, &ports, flags.node.ignore_preflight_errors) }).await?;
    let server = format!("https://{}", flags.server.trim_start_matches("https://"));
    let found =
        phase("discovery", token::discover(&server, &token, &flags.discovery_token_ca_cert_hash)).await?;
    phase("runtime", start_runtime(&host, &services, &flags.node.images)).await?;

    let bootstrap_config = host.kubeconfig("bootstrap-kubelet.conf");
    phase("kubelet", async {
        files::write(&host.pki().join("ca.crt"), &found.authority, Mode::Public)?;
        let credential = token.to_string();
        let credential = Credential::Token(&credential);
        kubeconfig::write(
            &bootstrap_config,
            &found.server,
            &found.authority,
            "tls-bootstrap-token-user",
            &credential,
        )?;
        let config = shared_config(&bootstrap_config, &found).await?;
        kubelet::write_config(&host, config, flags.node.resolv_conf.as_deref())?;
        let address = default_node_ip(&flags.node)?;
        services.ensure(&host, "kubelet", kubelet::command(&host, &kubelet_program()?, &node, address))?;
        kubelet::wait_healthy(&host, &services).await
    })
    .await?;
    phase("node", async {
        let kubeconfig = host.kubeconfig("kubelet.conf");
        let probe = || async {
            kubeconfig.exists().then_some(()).ok_or("no certificate for the kubelet yet".to_owned())
        };
        let what = "the kubelet's certificate request to be approved and signed";
        let cure = format!(
            "on the control plane: kubectl get csr; there must be one of {node}, Approved and Issued. \
             The kubelet's log: {}",
            services.log_hint(&host, "kubelet")
        );
        progress::wait_for(what, LIMIT, Duration::from_millis(200), probe)
            .await
            .map_err(|failure| failure.evidence(&services.log_tail(&host, "kubelet", 8)).cure(cure))?;
        let client = api::connect(&kubeconfig).await?;
        if !host.is_plain() {
            api::annotate_node(
                &client,
                &node,
                NODE_ROOT,
                &flags.node.place.host_prefix.display().to_string(),
                LIMIT,
            )
            .await?;
        }
        api::wait_node_ready(&client, &node, LIMIT).await.map_err(|failure| {
            failure
                .evidence(&services.log_tail(&host, "kubelet", 8))
                .cure(services.log_hint(&host, "kubelet"))
        })
    })
    .await?;
    println!("\nThis host is now node {node} of {server}.");
    Ok(())
}

/// The kubelet's configuration that the cluster keeps for joining nodes.
async fn shared_config(kubeconfig: &std::path::Path, found: &Discovered) -> Result<Value> {
    let attempted = || format!("read kube-system/kubelet-config from {}", found.server);
    let client = api::connect(kubeconfig).await?;
    let path = "/api/v1/namespaces/kube-system/configmaps/kubelet-config";
    let map = api::get(&client, path).await.attempt(attempted)?;
    let text = map.as_ref().and_then(|map| map["data"]["kubelet"].as_str());
    let text = text.ok_or_else(|| {
        Failure::new(attempted(), "it is not there")
            .cure("run `bootstrap init` on the control plane again; it puts it there")
    })?;
    serde_yaml::from_str(text).attempt(attempted)
}
