//! Puts the parts together. The only place that knows them all.

use std::sync::Arc;

use anyhow::Context as _;
use component::{CancellationToken, Context};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::api::Late;
use crate::config::{Configuration, Flags};
use crate::cri::{Runtime, relist};
use crate::events::Events;
use crate::host::Host;
use crate::images::{Puller, gc};
use crate::online::Online;
use crate::paths::Paths;
use crate::pod::dns;
use crate::pod_worker::{Input, Manager, Source, StatusSink, Tools, registry::Registry};
use crate::sources::files::Files;
use crate::steps::{Parts, Settings, Steps};
use crate::{api, cgroups, eviction, logs, node, server};

/// Inputs to the pod manager that may wait.
const INPUTS: usize = 256;
/// Images pulled at the same time when serializeImagePulls is off and no number is given.
const MANY_PULLS: usize = 16;

/// Runs the kubelet until it is told to stop.
pub async fn run(flags: Flags, context: Context) -> Result<(), anyhow::Error> {
    let configuration = crate::config::load(&flags)?;
    node::preflight::check(&configuration)?;
    let (inputs, receiver) = mpsc::channel(INPUTS);
    let parts = Shared::new(flags, configuration, inputs, context.shutdown)?;
    // Ports are bound before the first pod is touched: a port in use ends the kubelet with a message.
    server::start(Arc::new(parts.server_state()), parts.stop.clone()).await?;
    let expected = parts.sources();
    parts.tasks.spawn(Manager::new(Arc::new(parts.tools()), expected).run(receiver, parts.stop.clone()));
    parts.watch_runtime();
    parts.keep_house();
    tracing::info!(node = parts.host.name, "Kubelet started");
    let stop = parts.stop.clone();
    parts.go_online();
    stop.cancelled().await;
    tracing::info!("Kubelet stops; containers go on running");
    Ok(())
}

/// Parts that several others use.
struct Shared {
    flags: Flags,
    configuration: Configuration,
    paths: Arc<Paths>,
    cgroups: Option<Arc<cgroups::Cgroups>>,
    host: Arc<Host>,
    runtime: Runtime,
    registry: Arc<Registry>,
    objects: Arc<Late<dyn api::Objects>>,
    events: Arc<Late<dyn Events>>,
    sink: Arc<Late<dyn StatusSink>>,
    client: Arc<Late<client::Client>>,
    pressure: eviction::Pressure,
    inputs: mpsc::Sender<Input>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Shared {
    fn new(
        flags: Flags,
        configuration: Configuration,
        inputs: mpsc::Sender<Input>,
        stop: CancellationToken,
    ) -> Result<Self, anyhow::Error> {
        let paths =
            Arc::new(Paths { root: flags.root_dir.clone(), logs: configuration.pod_logs_dir.clone() });
        node::preflight::make_directories(&paths)?;
        let limit = configuration.runtime_request_timeout.0;
        Ok(Self {
            paths,
            cgroups: cgroups_of(&configuration)?,
            host: Arc::new(node::machine::host(&flags, &configuration)?),
            runtime: Runtime::new(&configuration.container_runtime_endpoint, limit)?,
            registry: Arc::default(),
            objects: Arc::default(),
            events: Arc::default(),
            sink: Arc::default(),
            client: Arc::default(),
            pressure: Arc::default(),
            inputs,
            tasks: TaskTracker::new(),
            stop,
            flags,
            configuration,
        })
    }

    fn tools(&self) -> Tools {
        let configuration = &self.configuration;
        let parallel = if configuration.serialize_image_pulls {
            Some(1)
        } else {
            configuration.max_parallel_image_pulls
        };
        let steps = Steps::new(Parts {
            runtime: self.runtime.clone(),
            objects: self.objects.clone(),
            events: self.events.clone(),
            host: self.host.clone(),
            cgroups: self.cgroups.clone(),
            paths: self.paths.clone(),
            puller: Puller::new(self.runtime.clone(), self.events.clone(), parallel.unwrap_or(MANY_PULLS)),
            settings: settings(configuration),
        });
        Tools {
            steps,
            runtime: self.runtime.clone(),
            events: self.events.clone(),
            sink: self.sink.clone(),
            host: self.host.clone(),
            registry: self.registry.clone(),
            sync_period: configuration.sync_frequency.0,
            longest_backoff: configuration.crash_loop_back_off.max_container_restart_period.0,
        }
    }

    /// Starts the sources of pods that need no connection; returns all that will speak.
    fn sources(&self) -> Vec<Source> {
        let mut expected = Vec::new();
        let path = &self.configuration.static_pod_path;
        if !path.as_os_str().is_empty() {
            expected.push(Source::File);
            let period = self.configuration.file_check_frequency.0;
            let files = Files::new(path.clone(), self.host.name.clone(), period);
            self.tasks.spawn(files.run(self.inputs.clone(), self.stop.clone()));
        }
        if self.flags.kubeconfig.is_some() {
            expected.push(Source::Api);
        }
        expected
    }

    fn watch_runtime(&self) {
        let freshness = relist::Freshness::default();
        let (changes, mut changed) = mpsc::channel(INPUTS);
        self.tasks.spawn(relist::run(self.runtime.clone(), freshness.clone(), changes, self.stop.clone()));
        let forward = self.inputs.clone();
        self.tasks.spawn(async move {
            while let Some(change) = changed.recv().await {
                if forward.send(Input::Runtime(change)).await.is_err() {
                    return;
                }
            }
        });
        self.tasks.spawn(node::runtime_state::watch(
            self.runtime.clone(),
            self.host.clone(),
            freshness,
            self.cgroups.as_ref().map(|cgroups| cgroups.driver()),
            self.inputs.clone(),
            self.stop.clone(),
        ));
    }

    /// Images, logs, pressure and the cgroups of QoS classes.
    fn keep_house(&self) {
        let (configuration, stop) = (&self.configuration, &self.stop);
        let policy = image_policy(&self.flags, configuration);
        let images = Arc::new(gc::Collector::new(self.runtime.clone(), policy, self.flags.root_dir.clone()));
        let (collector, collector_stop) = (images.clone(), stop.clone());
        self.tasks.spawn(async move { collector.run(collector_stop).await });
        let eviction = eviction::Watch {
            thresholds: eviction::thresholds(configuration),
            transition: configuration.eviction_pressure_transition_period.0,
            max_grace: configuration.eviction_max_pod_grace_period,
            pressure: self.pressure.clone(),
            registry: self.registry.clone(),
            cgroups: self.cgroups.clone(),
            images,
            root: self.flags.root_dir.clone(),
            events: self.events.clone(),
            inputs: self.inputs.clone(),
        };
        self.tasks.spawn(eviction.run(stop.clone()));
        if let Some(cgroups) = self.cgroups.clone() {
            let enforce = configuration.enforce_node_allocatable.iter().any(|entry| entry == "pods");
            let (registry, host) = (self.registry.clone(), self.host.clone());
            self.tasks.spawn(cgroups::qos::maintain(cgroups, registry, host, enforce, stop.clone()));
        }
        self.tasks.spawn(logs::rotate::run(self.runtime.clone(), log_policy(configuration), stop.clone()));
    }

    fn server_state(&self) -> server::State {
        server::State {
            client: self.client.clone(),
            registry: self.registry.clone(),
            runtime: self.runtime.clone(),
            host: self.host.clone(),
            cgroups: self.cgroups.clone(),
            root: self.flags.root_dir.clone(),
            configuration: self.configuration.clone(),
            cert_dir: self.flags.cert_dir.clone(),
        }
    }

    fn go_online(self) {
        let online = Online {
            objects: self.objects,
            events: self.events,
            sink: self.sink,
            client: self.client,
            host: self.host,
            registry: self.registry,
            runtime: self.runtime,
            inputs: self.inputs,
            pressure: self.pressure,
        };
        let tasks = self.tasks.clone();
        self.tasks.spawn(online.run(self.flags, self.configuration, tasks, self.stop));
    }
}

fn settings(configuration: &Configuration) -> Settings {
    let period = u64::try_from(configuration.cpu_cfs_quota_period.0.as_micros()).unwrap_or(100_000);
    Settings {
        dns: dns::Settings {
            cluster_dns: configuration.cluster_dns.clone(),
            cluster_domain: configuration.cluster_domain.clone(),
            resolv_conf: configuration.resolv_conf.clone(),
        },
        cfs_period: configuration.cpu_cfs_quota.then_some(period),
        pids_limit: Some(configuration.pod_pids_limit).filter(|limit| *limit > 0),
        seccomp_default: configuration.seccomp_default,
        unsafe_sysctls: configuration.allowed_unsafe_sysctls.clone(),
        max_pods: configuration.max_pods,
    }
}

fn image_policy(flags: &Flags, configuration: &Configuration) -> gc::Policy {
    let percent = |value: i32| u64::try_from(value).unwrap_or(100);
    gc::Policy {
        high: percent(configuration.image_gc_high_threshold_percent),
        low: percent(configuration.image_gc_low_threshold_percent),
        min_age: configuration.image_minimum_gc_age.0,
        max_age: configuration.image_maximum_gc_age.0,
        sandbox_image: flags.pod_infra_container_image.clone(),
    }
}

fn log_policy(configuration: &Configuration) -> logs::rotate::Policy {
    // The configuration has been checked.
    let size = api_types::quantity::Quantity::parse(&configuration.container_log_max_size)
        .map_or(10 << 20, |size| size.value());
    logs::rotate::Policy {
        max_size: u64::try_from(size).unwrap_or(u64::MAX),
        max_files: configuration.container_log_max_files,
        interval: configuration.container_log_monitor_interval.0,
    }
}

fn cgroups_of(configuration: &Configuration) -> Result<Option<Arc<cgroups::Cgroups>>, anyhow::Error> {
    if !configuration.cgroups_per_qos {
        return Ok(None);
    }
    let driver = match configuration.cgroup_driver.as_str() {
        "systemd" => cgroups::Driver::Systemd,
        _ => cgroups::Driver::Cgroupfs,
    };
    let cgroups = cgroups::Cgroups::detect(driver, &configuration.cgroup_root)?;
    for qos in [crate::pod::Qos::Guaranteed, crate::pod::Qos::Burstable, crate::pod::Qos::BestEffort] {
        let limits = cgroups::Limits {
            cpu_shares: (qos == crate::pod::Qos::BestEffort).then_some(2),
            ..Default::default()
        };
        cgroups.ensure(&cgroups.class(qos), &limits).context(
            "cannot make the cgroups of pods; the kubelet must run as root with a writable /sys/fs/cgroup",
        )?;
    }
    Ok(Some(Arc::new(cgroups)))
}
