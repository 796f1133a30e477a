//! Puts the parts together. The only place that knows them all.

use std::sync::Arc;

use anyhow::Context as _;
use component::Context;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::api::Late;
use crate::config::{Configuration, Flags};
use crate::cri::{Runtime, relist};
use crate::events::Events;
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

/// Runs the kubelet until it is told to stop.
pub async fn run(flags: Flags, context: Context) -> Result<(), anyhow::Error> {
    let configuration = crate::config::load(&flags)?;
    node::preflight::check(&configuration)?;
    let paths = Arc::new(Paths { root: flags.root_dir.clone(), logs: configuration.pod_logs_dir.clone() });
    node::preflight::make_directories(&paths)?;
    let cgroups = cgroups_of(&configuration)?;
    let host = Arc::new(node::machine::host(&flags, &configuration)?);
    let runtime =
        Runtime::new(&configuration.container_runtime_endpoint, configuration.runtime_request_timeout.0)?;
    let events: Arc<Late<dyn Events>> = Arc::default();
    let sink: Arc<Late<dyn StatusSink>> = Arc::default();
    let objects: Arc<Late<dyn api::Objects>> = Arc::default();
    let registry = Arc::new(Registry::default());
    let client: Arc<Late<client::Client>> = Arc::default();
    let pressure: eviction::Pressure = Arc::default();
    let parallel = if configuration.serialize_image_pulls {
        1
    } else {
        configuration.max_parallel_image_pulls.unwrap_or(16)
    };
    let steps = Steps::new(Parts {
        runtime: runtime.clone(),
        objects: objects.clone(),
        events: events.clone(),
        host: host.clone(),
        cgroups: cgroups.clone(),
        paths: paths.clone(),
        puller: Puller::new(runtime.clone(), events.clone(), parallel),
        settings: settings(&configuration),
    });
    let tools = Arc::new(Tools {
        steps,
        runtime: runtime.clone(),
        events: events.clone(),
        sink: sink.clone(),
        host: host.clone(),
        registry: registry.clone(),
        sync_period: configuration.sync_frequency.0,
        longest_backoff: configuration.crash_loop_back_off.max_container_restart_period.0,
    });
    let stop = context.shutdown.clone();
    let tasks = TaskTracker::new();
    let (inputs, receiver) = mpsc::channel(INPUTS);
    let mut expected = Vec::new();
    if !configuration.static_pod_path.as_os_str().is_empty() {
        expected.push(Source::File);
        let files = Files::new(
            configuration.static_pod_path.clone(),
            host.name.clone(),
            configuration.file_check_frequency.0,
        );
        tasks.spawn(files.run(inputs.clone(), stop.clone()));
    }
    if flags.kubeconfig.is_some() {
        expected.push(Source::Api);
    }
    tasks.spawn(Manager::new(tools, expected).run(receiver, stop.clone()));
    let freshness = relist::Freshness::default();
    let (changes, mut changed) = mpsc::channel(INPUTS);
    tasks.spawn(relist::run(runtime.clone(), freshness.clone(), changes, stop.clone()));
    let forward = inputs.clone();
    tasks.spawn(async move {
        while let Some(change) = changed.recv().await {
            if forward.send(Input::Runtime(change)).await.is_err() {
                return;
            }
        }
    });
    tasks.spawn(node::runtime_state::watch(
        runtime.clone(),
        host.clone(),
        freshness,
        inputs.clone(),
        stop.clone(),
    ));
    let images = Arc::new(gc::Collector::new(
        runtime.clone(),
        image_policy(&flags, &configuration),
        flags.root_dir.clone(),
    ));
    let collector = images.clone();
    let collector_stop = stop.clone();
    tasks.spawn(async move { collector.run(collector_stop).await });
    let eviction = eviction::Watch {
        thresholds: eviction::thresholds(&configuration),
        transition: configuration.eviction_pressure_transition_period.0,
        max_grace: configuration.eviction_max_pod_grace_period,
        pressure: pressure.clone(),
        registry: registry.clone(),
        cgroups: cgroups.clone(),
        images,
        root: flags.root_dir.clone(),
        events: events.clone(),
        inputs: inputs.clone(),
    };
    tasks.spawn(eviction.run(stop.clone()));
    let state = server::State {
        client: client.clone(),
        registry: registry.clone(),
        runtime: runtime.clone(),
        host: host.clone(),
        cgroups,
        root: flags.root_dir.clone(),
        configuration: configuration.clone(),
        cert_dir: flags.cert_dir.clone(),
    };
    server::start(Arc::new(state), stop.clone()).await?;
    let online = Online {
        objects,
        events,
        sink,
        client: client.clone(),
        host: host.clone(),
        registry,
        runtime: runtime.clone(),
        inputs,
        pressure,
    };
    tasks.spawn(online.run(flags, configuration.clone(), tasks.clone(), stop.clone()));
    tasks.spawn(logs::rotate::run(runtime, log_policy(&configuration), stop.clone()));
    tracing::info!(node = host.name, "Kubelet started");
    stop.cancelled().await;
    tasks.close();
    tracing::info!("Kubelet stops; containers go on running");
    Ok(())
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
