//! The daemon: watches, gathers changes, programs them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use client::Informers;
use component::Context;
use component::exit::WithCure;
use component::pages::{self, Pages, listen_address};
use http::StatusCode;
use nfnetlink::conntrack::Flow;
use nfnetlink::{Family, Socket};

use crate::config::Configuration;
use crate::environment::Settings;
use crate::flows::{UdpFrontends, is_stale};
use crate::health::{ProxyHealth, ServiceHealth};
use crate::index::Index;
use crate::metrics::{METRICS, label};
use crate::options::Options;
use crate::program::nftables::{NfTables, TABLE};
use crate::program::{Program, ServiceChange};
use crate::sysctl;
use crate::watch::{Event, Watch};

/// How often the kernel is asked whether our rules are still there, and this host's addresses are read.
const VERIFY: Duration = Duration::from_secs(5);
/// How often everything is written anew, against changes to the table that [`Program::verify`] does not see.
const RESYNC: Duration = Duration::from_secs(3600);
/// First and longest pause after a sync that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs kube-proxy until shutdown.
///
/// # Errors
/// When it cannot start: no apiserver configured, no netlink, no right to program rules.
pub async fn run(options: Options, context: Context) -> anyhow::Result<()> {
    if options.cleanup {
        return cleanup();
    }
    let configuration = options.configuration()?;
    if options.init_only {
        sysctl::apply(&configuration.conntrack);
        return Ok(());
    }
    let node_name = node_name(&configuration)?;
    let mut connection = client::connect::Options::daemon(&options.connection, context.daemon.name);
    if !configuration.client_connection.kubeconfig.is_empty() {
        connection.kubeconfig = Some(configuration.client_connection.kubeconfig.clone().into());
    }
    let informers = Informers::new(client::connect(&connection).await?, context.shutdown.clone());
    sysctl::apply(&configuration.conntrack);
    if let Some(score) = configuration.oom_score_adj {
        sysctl::set_oom_score(score);
    }
    let proxy = Proxy::new(&configuration, &node_name, &context)?;
    proxy.serve(&configuration, &context);
    tracing::info!(node = node_name, "starting kube-proxy with nftables");
    proxy.run(informers, context).await
}

fn cleanup() -> anyhow::Result<()> {
    let mut socket = Socket::open()?;
    for family in [Family::V4, Family::V6] {
        socket.remove_table(family, TABLE)?;
    }
    Ok(())
}

/// As upstream: the override, else the host name, in lower case.
fn node_name(configuration: &Configuration) -> anyhow::Result<String> {
    let name = match configuration.hostname_override.trim() {
        "" => nix::unistd::gethostname().context("cannot read the host name")?.to_string_lossy().into_owned(),
        name => name.to_owned(),
    };
    Ok(name.to_lowercase())
}

struct Proxy {
    index: Index,
    settings: Settings,
    programs: Vec<Box<dyn Program>>,
    health: Arc<ProxyHealth>,
    service_health: ServiceHealth,
    udp: UdpFrontends,
    conntrack: Socket,
    last_full: Instant,
}

impl Proxy {
    fn new(configuration: &Configuration, node_name: &str, context: &Context) -> anyhow::Result<Self> {
        let settings = Settings::of(configuration);
        let environment = settings.environment(&crate::index::NodeInfo::default());
        let mut programs: Vec<Box<dyn Program>> = Vec::new();
        for family in families() {
            programs.push(Box::new(NfTables::new(family, environment.clone())?));
        }
        let health =
            Arc::new(ProxyHealth::new(configuration.nftables.sync_period.0.max(Duration::from_secs(30)) * 2));
        let any = if settings.bind_address.is_ipv6() { "::" } else { "0.0.0.0" }.parse::<IpAddr>()?;
        let service_health = ServiceHealth::new(Arc::clone(&health), any, context.shutdown.clone());
        let mut conntrack = Socket::open()?;
        conntrack
            .tables(Family::V4)
            .context("cannot read nftables")
            .cure("run kube-proxy as root, in a container with CAP_NET_ADMIN (privileged: true), on a kernel with nf_tables")?;
        Ok(Self {
            index: Index::new(node_name),
            settings,
            programs,
            health,
            service_health,
            udp: UdpFrontends::default(),
            conntrack,
            last_full: Instant::now(),
        })
    }

    fn serve(&self, configuration: &Configuration, context: &Context) {
        if let Some(address) = listen_address(&configuration.healthz_bind_address) {
            let health = Arc::clone(&self.health);
            Pages::new(move |path| health.respond(path)).spawn(address, "/healthz", context.shutdown.clone());
        }
        if let Some(address) = listen_address(&configuration.metrics_bind_address) {
            let pages = Pages::new(|path| match path {
                "/metrics" => component::metrics::respond(),
                "/healthz" => pages::text(StatusCode::OK, "ok"),
                "/proxyMode" => pages::text(StatusCode::OK, "nftables"),
                _ => pages::not_found(),
            });
            pages.spawn(address, "/metrics", context.shutdown.clone());
        }
    }

    async fn run(mut self, informers: Informers, context: Context) -> anyhow::Result<()> {
        let mut watch = Watch::start(&informers, self.index.node_name());
        tracing::info!("waiting for Services, EndpointSlices and this Node from the apiserver");
        // Programming half a picture would cut off Services that an earlier run has programmed.
        if !informers.synced().await {
            return Ok(());
        }
        let mut verify = tokio::time::interval(VERIFY);
        verify.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut retry, mut pause) = (None, RETRY.0);
        loop {
            while let Some(event) = watch.try_next() {
                self.take(&event);
            }
            // Blocks this task while the kernel works; what happens meanwhile gathers in the subscriptions.
            if retry.is_none() {
                match tokio::task::block_in_place(|| self.sync()) {
                    Ok(()) => pause = RETRY.0,
                    Err(error) => {
                        tracing::error!(
                            error = component::exit::render("kube-proxy", &error.into()),
                            ?pause,
                            "cannot program Services; trying again"
                        );
                        retry = Some(tokio::time::Instant::now() + pause);
                        pause = (pause * 2).min(RETRY.1);
                    }
                }
            }
            tokio::select! {
                () = context.shutdown.cancelled() => return Ok(()),
                event = watch.next() => self.take(&event),
                _ = verify.tick() => tokio::task::block_in_place(|| self.verify()),
                () = until(retry) => retry = None,
            }
        }
    }

    /// Takes a change in.
    fn take(&mut self, event: &Event) {
        if !event.apply(&mut self.index) {
            return;
        }
        if matches!(event, Event::Node(_)) {
            let node = self.index.node();
            tracing::info!(addresses = ?node.addresses, zone = ?node.zone, leaving = node.leaving, deleted = node.deleted, "this node changed");
            self.health.set_node_eligible(!node.leaving && !node.deleted);
        }
        self.health.queued();
        METRICS.pending.set(self.index.pending() as i64);
        for program in &self.programs {
            METRICS.last_queued.with_label_values(&[label(program.family())]).set(unix_seconds());
        }
    }

    /// Asks whether the kernel and this host are as they were.
    fn verify(&mut self) {
        self.settings.read_addresses();
        let stale = self.last_full.elapsed() >= RESYNC;
        for program in &mut self.programs {
            match program.verify() {
                Ok(true) if stale => program.resync(),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot ask the kernel for our rules"),
            }
        }
    }

    /// Brings the kernel up to date; quick when there is nothing to do.
    fn sync(&mut self) -> Result<(), nfnetlink::Error> {
        let environment = self.settings.environment(self.index.node());
        let changes = self.index.take_changes();
        let triggers = self.index.take_triggers();
        let mut outcome = Ok(());
        for program in &mut self.programs {
            program.set_environment(environment.clone());
            if changes.is_empty() && program.in_step() {
                continue;
            }
            let (family, started) = (label(program.family()), Instant::now());
            match program.sync(&changes) {
                Ok(report) => {
                    let seconds = started.elapsed().as_secs_f64();
                    METRICS.sync_duration.with_label_values(&[family]).observe(seconds);
                    let kind = if report.full { &METRICS.full_duration } else { &METRICS.partial_duration };
                    kind.with_label_values(&[family]).observe(seconds);
                    METRICS.last_sync.with_label_values(&[family]).set(unix_seconds());
                    if report.full {
                        self.last_full = Instant::now();
                        tracing::info!(
                            family,
                            elements = report.elements,
                            seconds,
                            services = self.index.len(),
                            "wrote all rules"
                        );
                    }
                    for trigger in &triggers {
                        let waited = trigger.elapsed().unwrap_or_default().as_secs_f64();
                        METRICS.programming_duration.with_label_values(&[family]).observe(waited);
                    }
                }
                Err(error) => {
                    METRICS.sync_failures.with_label_values(&[family]).inc();
                    outcome = Err(error);
                }
            }
        }
        if !changes.is_empty() {
            self.after_changes(&changes);
        }
        if outcome.is_ok() {
            self.health.synced();
            METRICS.pending.set(0);
        }
        outcome
    }

    /// What follows from changes besides rules.
    fn after_changes(&mut self, changes: &[ServiceChange]) {
        for (name, model) in changes {
            self.service_health.set(name, model.as_ref().and_then(|model| model.health_check));
        }
        let suspects = self.udp.replace(changes);
        if suspects.is_empty() {
            return;
        }
        let node_addresses = self.settings.node_port_addresses(self.index.node());
        for family in [Family::V4, Family::V6] {
            let suspects: HashMap<_, _> = suspects
                .iter()
                .filter(|(at, _)| Family::of(at.ip) == family)
                .map(|(at, to)| (*at, to.clone()))
                .collect();
            if suspects.is_empty() {
                continue;
            }
            let started = Instant::now();
            match delete_stale(&mut self.conntrack, family, |flow| {
                is_stale(flow, &suspects, |ip| node_addresses.contains(&ip))
            }) {
                Ok(deleted) => METRICS.flows_deleted.with_label_values(&[label(family)]).inc_by(deleted),
                Err(error) => {
                    tracing::warn!(%error, "cannot delete stale UDP flows; clients may go on sending to endpoints that are gone")
                }
            }
            METRICS
                .flows_duration
                .with_label_values(&[label(family)])
                .observe(started.elapsed().as_secs_f64());
        }
    }
}

fn delete_stale(
    socket: &mut Socket,
    family: Family,
    stale: impl Fn(&Flow) -> bool,
) -> Result<u64, nfnetlink::Error> {
    const UDP: u8 = 17;
    let mut flows = Vec::new();
    socket.flows(family, UDP, |flow| {
        if stale(&flow) {
            flows.push(flow);
        }
    })?;
    for flow in &flows {
        socket.delete_flow(flow)?;
    }
    Ok(flows.len() as u64)
}

/// IPv4 always; IPv6 where the kernel has it.
fn families() -> Vec<Family> {
    let mut families = vec![Family::V4];
    if std::path::Path::new("/proc/net/if_inet6").exists() {
        families.push(Family::V6);
    }
    families
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
