//! The life of the process: connection, profiles, serving, leader election.

use std::sync::Arc;

use client::daemon::{self, Serving};
use client::{Informers, connect};
use component::exit::WithCure;
use component::features::Features;
use component::health::Health;

use crate::config::{Args, Configuration, Points, ProfileConfig};
use crate::framework::{Objects, Profile, trim};
use crate::options::{DEFAULT_PORT, Options};
use crate::plugins::{self, Build};
use crate::scheduler::Scheduler;

/// Runs the scheduler until shutdown.
///
/// # Errors
/// Whatever keeps it from running, with its cure.
pub async fn start(options: Options, process: component::Context) -> Result<(), anyhow::Error> {
    let configuration = options.configuration().cure("correct the file that --config names")?;
    let client = connect(&connection(&options, &configuration, process.daemon.name))
        .await
        .cure("check --kubeconfig and the files it names")?;
    let informers = Informers::new(client.clone(), process.shutdown.clone());
    trim(&informers);
    let objects = Objects::new(&informers);
    let make = |config| profile(config, &configuration, &process.features, &objects);
    let profiles = configuration.profiles.iter().map(make).collect::<Result<Vec<_>, _>>()?;
    let scheduler =
        Scheduler::new(&client, &informers, objects.clone(), profiles, limits(&options, &configuration));

    let health = Health::new();
    daemon::check_synced(&health, "sched-handler-sync", &informers);
    let serving = Serving {
        name: process.daemon.name,
        default_port: DEFAULT_PORT,
        flags: &options.serving,
        authentication: &options.authentication,
    };
    let serving = serving.start(&client, health, process.shutdown.clone()).await?;
    let election = options.election(&configuration);
    let lead = move |stop| async move { scheduler.run(&informers, stop).await };
    daemon::work(client, &election, "kube-scheduler", process.shutdown, lead).await?;
    if let Some(serving) = serving {
        serving.await?;
    }
    Ok(())
}

fn connection(options: &Options, configuration: &Configuration, name: &str) -> connect::Options {
    let mut flags = options.kubeconfig.clone();
    let path = &configuration.client_connection.kubeconfig;
    flags.kubeconfig = (!path.as_os_str().is_empty()).then(|| path.clone());
    connect::Options::daemon(&flags, name)
}

fn limits(options: &Options, configuration: &Configuration) -> crate::queue::Limits {
    crate::queue::Limits {
        initial_backoff: std::time::Duration::from_secs(configuration.pod_initial_backoff_seconds),
        max_backoff: std::time::Duration::from_secs(configuration.pod_max_backoff_seconds),
        max_unschedulable: options.pod_max_in_unschedulable_pods_duration.0,
    }
}

/// Makes a profile from its configuration.
///
/// # Errors
/// When plugins or arguments in it do not exist or do not fit.
pub(crate) fn profile(
    config: &ProfileConfig,
    configuration: &Configuration,
    features: &Features,
    objects: &Objects,
) -> Result<Arc<Profile>, anyhow::Error> {
    let points = Points::new(config.plugins.clone());
    let build = Build { args: Args(&config.plugin_config), features, objects };
    let mut made = Vec::new();
    for name in points.all() {
        // A name that is no plugin is reported by the profile, with the point that names it.
        made.extend(plugins::make(&name, &build)?);
    }
    let percentage = config.percentage_of_nodes_to_score.or(configuration.percentage_of_nodes_to_score);
    Ok(Arc::new(Profile::new(&config.scheduler_name, percentage, made, &points)?))
}
