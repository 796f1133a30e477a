//! What every daemon does that watches the apiserver: it serves health and metrics, and works while it leads.

use std::future::Future;
use std::sync::Arc;

use component::CancellationToken;
use component::endpoints::Endpoints;
use component::exit::WithCure;
use component::flags::{Authentication, LeaderElection, SecureServing};
use component::health::{Health, On};
use component::serve::Server;
use kube::Client;

use crate::delegated::{self, Delegated};
use crate::{Informers, connect, leader};

/// How a daemon serves health and metrics.
pub struct Serving<'a> {
    /// The daemon's name.
    pub name: &'static str,
    /// Where to serve when no flag says otherwise.
    pub default_port: u16,
    /// Addresses and certificates.
    pub flags: &'a SecureServing,
    /// Who may read.
    pub authentication: &'a Authentication,
}

impl Serving<'_> {
    /// Serves in the background, unless the port is 0. The handle ends at shutdown.
    ///
    /// # Errors
    /// When the port cannot be had or the kubeconfig for reviews cannot be used, with the cure.
    pub async fn start(
        &self,
        client: &Client,
        health: Health,
        shutdown: CancellationToken,
    ) -> Result<Option<tokio::task::JoinHandle<()>>, anyhow::Error> {
        let Some(config) = self.flags.config(self.default_port, self.name) else { return Ok(None) };
        let server = Server::bind(config).await?;
        let trust = delegated::Options {
            client_ca_file: self.authentication.client_ca_file.clone(),
            always_allow_paths: self.authentication.authorization_always_allow_paths.clone(),
            anonymous: true,
        };
        let proxy = delegated::FrontProxy::new(self.authentication);
        let asking = match &self.authentication.authentication_kubeconfig {
            Some(path) => connect(&connect::Options::file(path, self.name))
                .await
                .cure("check --authentication-kubeconfig and the files it names")?,
            None => client.clone(),
        };
        let gatekeeper = Arc::new(Delegated::new(asking, trust).with_front_proxy(proxy));
        let endpoints = Endpoints::guarded(health, gatekeeper, Vec::new());
        Ok(Some(tokio::spawn(server.serve(endpoints, shutdown))))
    }
}

/// Adds the check that all informers have their first full state.
pub fn check_synced(health: &Health, name: &'static str, informers: &Informers) {
    let informers = informers.clone();
    health.add_fn(name, On::READYZ, move || match informers.unsynced() {
        waiting if waiting.is_empty() => Ok(()),
        waiting => Err(format!("waiting for {}", waiting.join(", "))),
    });
}

/// Works until shutdown; with leader election only while leading.
///
/// # Errors
/// When leadership is lost: another process works then, and this one has to end.
pub async fn work<F, Fut>(
    client: Client,
    election: &LeaderElection,
    default_name: &str,
    shutdown: CancellationToken,
    work: F,
) -> Result<(), anyhow::Error>
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    if !election.leader_elect {
        work(shutdown).await;
        return Ok(());
    }
    leader::run(client, leader::Config::new(election, default_name), shutdown, work)
        .await
        .cure("this is normal after a long pause or partition; restart the process")
}
