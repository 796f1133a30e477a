//! What happens at start: resources, health checks, admission, the tasks behind the server, the first objects.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use anyhow::Context as _;
use api_types::resource;
use async_trait::async_trait;
use component::health::{Check, On};

use crate::admission::plugins::{self, Dependencies};
use crate::bootstrap_objects::{self, Reconciler};
use crate::flowcontrol;
use crate::options::Options;
use crate::registry::Registry;
use crate::server::Server;

/// Adds the built-in resources that are on by default, or that `--runtime-config` switches on.
///
/// # Errors
/// The storage refuses a resource; `--runtime-config` cannot be read.
pub fn add_builtin(registry: &Registry, options: &Options) -> anyhow::Result<()> {
    let switches = RuntimeConfig::parse(&options.generic.runtime_config)?;
    for row in resource::builtin() {
        if switches.enabled(row) {
            registry.add(Arc::clone(row))?;
        }
    }
    Ok(())
}

/// `--runtime-config`
struct RuntimeConfig(Vec<(String, bool)>);

impl RuntimeConfig {
    fn parse(settings: &[String]) -> anyhow::Result<Self> {
        let mut parsed = Vec::new();
        for setting in settings.iter().filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').unwrap_or((setting, "true"));
            match value {
                "true" | "" => parsed.push((key.to_owned(), true)),
                "false" => parsed.push((key.to_owned(), false)),
                other => anyhow::bail!("--runtime-config {key}={other}: use true or false"),
            }
        }
        Ok(RuntimeConfig(parsed))
    }

    /// The most specific setting that names the row decides, else whether it is served by default.
    fn enabled(&self, row: &resource::ResourceInfo) -> bool {
        let api_version = row.api_version();
        let stage = match &row.version {
            version if version.contains("alpha") => "api/alpha",
            version if version.contains("beta") => "api/beta",
            _ => "api/ga",
        };
        let with_resource = format!("{api_version}/{}", row.plural);
        let set = |name: &str| self.0.iter().rev().find(|(key, _)| key == name).map(|(_, on)| *on);
        set(&with_resource)
            .or_else(|| set(&api_version))
            .or_else(|| set(stage))
            .or_else(|| set("api/all"))
            .unwrap_or(row.served_by_default)
    }
}

/// Adds what `/livez` and `/readyz` ask.
pub fn add_health_checks(server: &Arc<Server>) {
    let store = server.registry.store().clone();
    server.health.add_fn("log", On::ALL, || Ok(()));
    server.health.add("etcd", On::ALL, Etcd(store.clone()));
    server.health.add("etcd-readiness", On::READYZ, Etcd(store.clone()));
    for (index, store) in server.registry.other_stores().into_iter().enumerate() {
        server.health.add(format!("etcd-override-{index}"), On::ALL, Etcd(store.clone()));
        server.health.add(format!("etcd-override-readiness-{index}"), On::READYZ, Etcd(store.clone()));
        server.health.add(format!("informer-sync-override-{index}"), On::READYZ, Caches(store));
    }
    let stopping = Arc::downgrade(server);
    server.health.add_fn("shutdown", On::READYZ, move || {
        match stopping.upgrade().is_some_and(|server| !server.stopping.load(Ordering::Acquire)) {
            true => Ok(()),
            false => Err("the server is stopping".to_owned()),
        }
    });
    server.health.add("informer-sync", On::READYZ, Caches(store));
    let definitions = Arc::clone(&server.definitions);
    server.health.add_fn("poststarthook/crd-informer-synced", On::READY, move || match definitions.ready() {
        true => Ok(()),
        false => Err("custom resources are not all served yet".to_owned()),
    });
}

struct Etcd(storage::Store);

#[async_trait]
impl Check for Etcd {
    async fn check(&self) -> Result<(), String> {
        self.0.healthy().await.map_err(|error| error.to_string())
    }
}

struct Caches(storage::Store);

#[async_trait]
impl Check for Caches {
    async fn check(&self) -> Result<(), String> {
        self.0.ready().await.map_err(|error| error.to_string())
    }
}

/// Sets the admission plug-ins that the flags name.
///
/// # Errors
/// An unknown plug-in.
pub fn set_admission(server: &Arc<Server>) -> anyhow::Result<()> {
    let dependencies = Dependencies {
        authorizer: Arc::clone(&server.authorizer),
        rbac: Arc::clone(&server.rbac),
        objects: Arc::clone(&server.registry) as _,
        policies: Arc::clone(&server.policies),
        webhooks: Arc::clone(&server.webhooks),
        api_audiences: server.tokens.audiences.clone(),
    };
    let flags = &server.options.admission;
    let chain =
        plugins::chain(&flags.enable_admission_plugins, &flags.disable_admission_plugins, &dependencies)?;
    server.registry.set_admission(chain);
    Ok(())
}

/// Starts the tasks that run as long as the server.
pub fn background(server: &Arc<Server>) {
    LazyLock::force(&crate::handlers::pages::STARTED);
    crate::feeds::start(server);
    tokio::spawn(crate::aggregation::run(Arc::clone(server)));
    crate::custom::start(server);
    tokio::spawn(crate::kubernetes_service::run(Arc::clone(server)));
    tokio::spawn(crate::trust::run(Arc::clone(server)));
    if let Some(control) = &server.flow_control {
        tokio::spawn(flowcontrol::lend_seats(Arc::clone(control), server.shutdown.clone()));
        let registry = Arc::clone(&server.registry);
        tokio::spawn(flowcontrol::keep_status(Arc::clone(control), registry, server.shutdown.clone()));
    }
}

/// Makes the objects that a cluster begins with, and keeps them in being.
///
/// # Errors
/// A CA file cannot be read.
pub fn bootstrap(server: &Arc<Server>) -> anyhow::Result<()> {
    let settings = bootstrap_settings(&server.options)?;
    let objects: Arc<dyn crate::loopback::Objects> = Arc::clone(&server.registry) as _;
    let reconciler = Reconciler::new(objects, &settings);
    for (hook, _) in reconciler.hooks() {
        let reconciler = Arc::clone(&reconciler);
        server.health.add_fn(hook, On::READY, move || match reconciler.is_done(hook) {
            true => Ok(()),
            false => Err("not finished".to_owned()),
        });
    }
    tokio::spawn(reconciler.run(server.shutdown.clone()));
    Ok(())
}

fn bootstrap_settings(options: &Options) -> anyhow::Result<bootstrap_objects::Settings> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let client_ca = options.authentication.client_ca_file.as_ref().map(read).transpose()?;
    let request_headers = match crate::server::request_headers(options) {
        Some(headers) => {
            let pem = read(&headers.client_ca_file)?;
            Some((headers, pem))
        }
        None => None,
    };
    Ok(bootstrap_objects::Settings {
        client_ca,
        request_headers,
        service_cidrs: options.cluster.service_cluster_ip_range.clone(),
    })
}

/// Every path that is not a resource.
pub fn root_paths(server: &Server) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/flagz",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/statusz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend(server.health.paths());
    for endpoint in server.registry.endpoints() {
        let info = &endpoint.info;
        if !info.group.is_empty() {
            paths.push(format!("/apis/{}", info.group));
            paths.push(format!("/apis/{}/{}", info.group, info.version));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}
