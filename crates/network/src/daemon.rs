//! The daemon: watches Nodes and keeps this one's network right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use api_types::k8s::api::core::v1::Node;
use client::{Change, Informers, Subscription};
use component::exit::WithCure;
use component::pages::{self, Pages, listen_address};
use component::{CancellationToken, Context};
use http::StatusCode;
use ipnet::IpNet;
use nfnetlink::Socket;

use crate::cni::{self, Network};
use crate::options::{Options, below};
use crate::plan::{NODE_ROOT, NodeInfo, Plan, difference, plan};
use crate::routes::Routes;
use crate::{masquerade, sysctl};

/// How often everything is compared with the kernel, whatever the Nodes do.
const CHECK: Duration = Duration::from_secs(30);
/// How soon what failed is tried again, and how often it is said what is waited for.
const RETRY: Duration = Duration::from_secs(5);

/// Runs the network agent until shutdown.
///
/// # Errors
/// When it cannot start: no apiserver configured, no netlink.
pub async fn run(options: Options, context: Context) -> anyhow::Result<()> {
    let routes = Routes::open()?;
    let mut firewall = Socket::open()?;
    if options.cleanup {
        return cleanup(&options, &routes, &mut firewall).await;
    }
    firewall
        .tables(nfnetlink::Family::V4)
        .context("cannot read nftables")
        .cure("run coxswain-network as root, in a container with CAP_NET_ADMIN (privileged: true), on a kernel with nf_tables")?;
    let node = match options.node_name.trim() {
        "" => {
            nix::unistd::gethostname().context("cannot read the host name")?.to_string_lossy().to_lowercase()
        }
        name => name.to_owned(),
    };
    let ready = Arc::new(AtomicBool::new(false));
    serve_pages(&options, &ready, &context.shutdown);
    let connection = client::connect::Options::daemon(&options.connection, context.daemon.name);
    let informers = Informers::new(client::connect(&connection).await?, context.shutdown.clone());
    informers.transform::<Node>(trim);
    let subscription = informers.all::<Node>().subscribe();
    tracing::info!(node, "starting; waiting for the list of nodes");
    let agent = Agent {
        options,
        node,
        routes,
        firewall,
        nodes: BTreeMap::new(),
        done: None,
        told: BTreeMap::new(),
        ready,
    };
    agent.run(informers, subscription, context.shutdown).await;
    Ok(())
}

async fn cleanup(options: &Options, routes: &Routes, firewall: &mut Socket) -> anyhow::Result<()> {
    masquerade::remove(firewall)?;
    for route in routes.present().await? {
        routes.delete(route).await?;
    }
    let path = options.on_host(&options.cni_conf_dir).join(&options.cni_conf_name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

struct Agent {
    options: Options,
    node: String,
    routes: Routes,
    firewall: Socket,
    nodes: BTreeMap<String, NodeInfo>,
    /// Ranges that masquerading was programmed for: ours and the cluster's.
    done: Option<(Vec<IpNet>, Vec<IpNet>)>,
    /// Nodes that were reported as out of reach, with the reason.
    told: BTreeMap<String, String>,
    ready: Arc<AtomicBool>,
}

impl Agent {
    async fn run(mut self, informers: Informers, mut nodes: Subscription<Node>, shutdown: CancellationToken) {
        if !informers.synced().await {
            return;
        }
        loop {
            while let Some(change) = nodes.try_next() {
                self.take(&change);
            }
            let pause = match self.reconcile().await {
                Ok(true) => CHECK,
                Ok(false) => RETRY,
                Err(error) => {
                    let error = component::exit::render("coxswain-network", &error);
                    tracing::error!(error, retry = ?RETRY, "the network of this node is not complete");
                    RETRY
                }
            };
            // Most changes of Nodes are heartbeats, which change nothing here.
            let wake = tokio::time::sleep(pause);
            tokio::pin!(wake);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = &mut wake => break,
                    change = nodes.next() => {
                        if self.take(&change) {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Takes a change in; says whether it matters.
    fn take(&mut self, change: &Change<Node>) -> bool {
        let name = change.key.name.to_string();
        match change.new.as_deref().map(NodeInfo::of) {
            Some(info) => self.nodes.insert(name, info.clone()) != Some(info),
            None => self.nodes.remove(&name).is_some(),
        }
    }

    /// Makes the node's network what it shall be. `false` while this node has no pod range.
    async fn reconcile(&mut self) -> anyhow::Result<bool> {
        let host = self.routes.host_addresses(&self.options.bridge).await?;
        let plan = plan(&self.node, &self.nodes, &host, &self.options.cluster_ranges());
        self.report(&plan);
        self.routes(&plan).await?;
        if plan.ours.is_empty() {
            self.report_waiting();
            return Ok(false);
        }
        sysctl::apply(&plan.ours);
        self.masquerade(&plan)?;
        let (directory, source) = (&self.options.cni_bin_dir, &self.options.cni_bin_source);
        let copied = cni::install_plugins(&self.options.on_host(directory), &self.options.on_host(source))?;
        if !copied.is_empty() {
            tracing::info!(plugins = ?copied, to = %self.options.cni_bin_dir.display(), "installed CNI plug-ins");
        }
        // Last: with the configuration in place the runtime reports its network as ready.
        let network = Network {
            bridge: &self.options.bridge,
            mtu: self.options.mtu,
            ranges: &plan.ours,
            data_dir: &below(&plan.root, &self.options.cni_data_dir),
        };
        let directory = self.options.on_host(&below(&plan.root, &self.options.cni_conf_dir));
        if network.install(&directory, &self.options.cni_conf_name)? {
            let file = directory.join(&self.options.cni_conf_name);
            tracing::info!(file = %file.display(), ranges = ?plan.ours, "wrote the CNI configuration");
        }
        self.ready.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// One route that is refused does not keep the others from being made.
    async fn routes(&self, plan: &Plan) -> anyhow::Result<()> {
        let present = self.routes.present().await?;
        let (stale, missing) = difference(&present, &plan.routes);
        let mut failed = None;
        for route in stale {
            match self.routes.delete(route).await {
                Ok(()) => tracing::info!(to = %route.to, via = %route.via, "deleted a route"),
                Err(error) => failed = Some(error),
            }
        }
        for route in missing {
            match self.routes.add(route).await {
                Ok(()) => tracing::info!(to = %route.to, via = %route.via, "added a route"),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn masquerade(&mut self, plan: &Plan) -> anyhow::Result<()> {
        if !self.options.masquerade {
            return Ok(());
        }
        let wanted = (plan.ours.clone(), plan.cluster.clone());
        if self.done.as_ref() == Some(&wanted) && masquerade::in_place(&mut self.firewall, &plan.ours)? {
            return Ok(());
        }
        masquerade::apply(&mut self.firewall, &wanted.0, &wanted.1)?;
        tracing::info!(pods = ?wanted.0, except_to = ?wanted.1, "masquerading what pods send to the world");
        self.done = Some(wanted);
        Ok(())
    }

    fn report_waiting(&self) {
        if self.nodes.contains_key(&self.node) {
            tracing::info!(
                node = self.node,
                "waiting for this node's pod range (spec.podCIDR); kube-controller-manager gives it when it runs with --allocate-node-cidrs=true and --cluster-cidr"
            );
        } else {
            let known: Vec<&String> = self.nodes.keys().collect();
            tracing::info!(
                node = self.node,
                ?known,
                "waiting for this node's Node object, which its kubelet makes; is --node-name right?"
            );
        }
    }

    /// Says of each node once that it is out of reach, and why.
    fn report(&mut self, plan: &Plan) {
        for (node, reason) in &plan.unreachable {
            if self.told.get(node) != Some(reason) {
                tracing::warn!(node, reason, "pods of another node cannot be reached");
            }
        }
        self.told.clone_from(&plan.unreachable);
    }
}

fn serve_pages(options: &Options, ready: &Arc<AtomicBool>, shutdown: &CancellationToken) {
    let Some(address) = listen_address(&options.health_address) else { return };
    let ready = Arc::clone(ready);
    let pages = Pages::new(move |path| match path {
        "/livez" => pages::text(StatusCode::OK, "ok"),
        "/healthz" | "/readyz" if ready.load(Ordering::Relaxed) => pages::text(StatusCode::OK, "ok"),
        "/healthz" | "/readyz" => pages::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the node's pod range or its CNI configuration\n",
        ),
        "/metrics" => component::metrics::respond(),
        _ => pages::not_found(),
    });
    pages.spawn(address, "/healthz", shutdown.clone());
}

fn trim(node: &mut Node) {
    if let Some(annotations) = &mut node.metadata.annotations {
        annotations.retain(|name, _| name == NODE_ROOT);
    }
    node.metadata.labels = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        status.conditions = None;
        status.capacity = None;
        status.allocatable = None;
    }
}
