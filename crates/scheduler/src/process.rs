//! The life of the process: connection, profiles, serving, leader election.

use std::sync::Arc;

use client::delegated::{self, Delegated};
use client::{Informers, connect, leader};
use component::endpoints::Endpoints;
use component::exit::WithCure;
use component::features::Features;
use component::health::{Health, On};
use component::serve::Server;

use crate::config::{Args, Configuration, Points, ProfileConfig};
use crate::framework::{Objects, Profile, trim};
use crate::options::{DEFAULT_PORT, Options};
use crate::plugins::{self, Build};
use crate::scheduler::Scheduler;

/// Runs the scheduler until shutdown.
///
/// # Errors
/// Whatever keeps it from running, with its cure.
pub async fn start(options: Options, daemon: component::Context) -> Result<(), anyhow::Error> {
    let configuration = options.configuration().cure("correct the file that --config names")?;
    let client = connect(&connection(&options, &configuration, daemon.daemon.name))
        .await
        .cure("check --kubeconfig and the files it names")?;
    let informers = Informers::new(client.clone(), daemon.shutdown.clone());
    trim(&informers);
    let objects = Objects::new(&informers);
    let make = |config| profile(config, &configuration, &daemon.features, &objects);
    let profiles = configuration.profiles.iter().map(make).collect::<Result<Vec<_>, _>>()?;
    let scheduler =
        Scheduler::new(&client, &informers, objects.clone(), profiles, limits(&options, &configuration));

    let health = Health::new();
    let unsynced = informers.clone();
    health.add_fn("sched-handler-sync", On::READYZ, move || match unsynced.unsynced() {
        waiting if waiting.is_empty() => Ok(()),
        waiting => Err(format!("waiting for {}", waiting.join(", "))),
    });
    let serving = serve(&options, &client, health, &daemon).await?;
    let election = options.election(&configuration);
    if election.leader_elect {
        let election = leader::Config::new(&election, "kube-scheduler");
        let lead = move |stop| async move { scheduler.run(&informers, stop).await };
        leader::run(client, election, daemon.shutdown.clone(), lead)
            .await
            .cure("this is normal after a long pause or partition; restart the process")?;
    } else {
        scheduler.run(&informers, daemon.shutdown.clone()).await;
    }
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

/// Serves health and metrics in the background, unless the port is 0.
async fn serve(
    options: &Options,
    client: &client::Client,
    health: Health,
    daemon: &component::Context,
) -> Result<Option<tokio::task::JoinHandle<()>>, anyhow::Error> {
    let Some(config) = options.serving.config(DEFAULT_PORT, daemon.daemon.name) else { return Ok(None) };
    let server = Server::bind(config).await?;
    let trust = delegated::Options {
        client_ca_file: options.authentication.client_ca_file.clone(),
        always_allow_paths: options.authentication.authorization_always_allow_paths.clone(),
        anonymous: true,
    };
    // The kubeconfigs for reviews are mostly the same file again.
    let reviews = match &options.authentication.authentication_kubeconfig {
        Some(path) => connect(&connect::Options::file(path, daemon.daemon.name))
            .await
            .cure("check --authentication-kubeconfig and the files it names")?,
        None => client.clone(),
    };
    let gatekeeper = Arc::new(Delegated::new(reviews, trust));
    let endpoints = Endpoints::guarded(health, gatekeeper, Vec::new());
    Ok(Some(tokio::spawn(server.serve(endpoints, daemon.shutdown.clone()))))
}
