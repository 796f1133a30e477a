//! The table of controllers, and the life of the process around them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use client::daemon::{self, Serving};
use client::identity::Accounts;
use client::{Informers, connect};
use component::exit::WithCure;
use component::health::Health;

use crate::context::Context;
use crate::options::{DEFAULT_PORT, Options};

type Running = Pin<Box<dyn Future<Output = Result<(), anyhow::Error>> + Send>>;

/// One controller: upstream's name and old alias, whether it runs by default, and how to run it.
struct Entry {
    name: &'static str,
    alias: &'static str,
    on: bool,
    /// The service account that it acts as with `--use-service-account-credentials`; the manager itself when empty.
    account: &'static str,
    run: fn(Context) -> Running,
}

/// A line of the table: `run` is an `async fn(Context) -> Result<(), anyhow::Error>` that ends at shutdown.
macro_rules! controller {
    ($name:literal, $alias:literal, $on:literal, $account:literal, $run:path) => {
        Entry {
            name: $name,
            alias: $alias,
            on: $on,
            account: $account,
            run: |context| Box::pin($run(context)),
        }
    };
}

/// Every controller that exists; one line each, by name.
#[rustfmt::skip]
const TABLE: &[Entry] = &[
    controller!("bootstrap-signer-controller", "bootstrapsigner", false, "bootstrap-signer", crate::bootstrap::run_signer),
    controller!("certificatesigningrequest-approving-controller", "csrapproving", true, "certificate-controller", crate::certificates::run_approving),
    controller!("certificatesigningrequest-cleaner-controller", "csrcleaner", true, "certificate-controller", crate::certificates::run_cleaner),
    controller!("certificatesigningrequest-signing-controller", "csrsigning", true, "certificate-controller", crate::certificates::run_signing),
    controller!("clusterrole-aggregation-controller", "clusterrole-aggregation", true, "clusterrole-aggregation-controller", crate::clusterrole_aggregation::run),
    controller!("cronjob-controller", "cronjob", true, "cronjob-controller", crate::cronjob::run),
    controller!("daemonset-controller", "daemonset", true, "daemon-set-controller", crate::daemonset::run),
    controller!("deployment-controller", "deployment", true, "deployment-controller", crate::deployment::run),
    controller!("disruption-controller", "disruption", true, "disruption-controller", crate::disruption::run),
    controller!("endpoints-controller", "endpoint", true, "endpoint-controller", crate::endpoints::run),
    controller!("endpointslice-controller", "endpointslice", true, "endpointslice-controller", crate::endpointslice::run),
    controller!("endpointslice-mirroring-controller", "endpointslicemirroring", true, "endpointslicemirroring-controller", crate::endpointslice_mirroring::run),
    controller!("ephemeral-volume-controller", "ephemeral-volume", true, "ephemeral-volume-controller", crate::ephemeral_volume::run),
    controller!("garbage-collector-controller", "garbagecollector", true, "generic-garbage-collector", crate::garbage_collector::run),
    controller!("horizontal-pod-autoscaler-controller", "horizontalpodautoscaling", true, "horizontal-pod-autoscaler", crate::autoscaling::run),
    controller!("job-controller", "job", true, "job-controller", crate::job::run),
    controller!("legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner", true, "legacy-service-account-token-cleaner", crate::serviceaccount::run_legacy_cleaner),
    controller!("namespace-controller", "namespace", true, "namespace-controller", crate::namespace::run),
    controller!("node-ipam-controller", "nodeipam", true, "node-controller", crate::node_ipam::run),
    controller!("node-lifecycle-controller", "nodelifecycle", true, "node-controller", crate::node_lifecycle::run),
    controller!("persistentvolume-attach-detach-controller", "attachdetach", true, "attachdetach-controller", crate::attach_detach::run),
    controller!("persistentvolume-binder-controller", "persistentvolume-binder", true, "persistent-volume-binder", crate::volume_binder::run),
    controller!("persistentvolume-expander-controller", "persistentvolume-expander", true, "expand-controller", crate::volume_expand::run),
    controller!("persistentvolume-protection-controller", "pv-protection", true, "pv-protection-controller", crate::volume_protection::run_volumes),
    controller!("persistentvolumeclaim-protection-controller", "pvc-protection", true, "pvc-protection-controller", crate::volume_protection::run_claims),
    controller!("pod-garbage-collector-controller", "podgc", true, "pod-garbage-collector", crate::pod_gc::run),
    controller!("replicaset-controller", "replicaset", true, "replicaset-controller", crate::replicaset::run),
    controller!("replicationcontroller-controller", "replicationcontroller", true, "replication-controller", crate::replicaset::run_replication),
    controller!("resourceclaim-controller", "resource-claim-controller", true, "resource-claim-controller", crate::resource_claim::run),
    controller!("resourcequota-controller", "resourcequota", true, "resourcequota-controller", crate::resource_quota::run),
    controller!("root-ca-certificate-publisher-controller", "root-ca-cert-publisher", true, "root-ca-cert-publisher", crate::root_ca::run),
    controller!("service-cidr-controller", "service-cidr-controller", true, "service-cidrs-controller", crate::service_cidr::run),
    controller!("serviceaccount-controller", "serviceaccount", true, "service-account-controller", crate::serviceaccount::run),
    controller!("serviceaccount-token-controller", "serviceaccount-token", true, "", crate::serviceaccount::run_tokens),
    controller!("statefulset-controller", "statefulset", true, "statefulset-controller", crate::statefulset::run),
    controller!("taint-eviction-controller", "taint-eviction-controller", true, "node-controller", crate::taint_eviction::run),
    controller!("token-cleaner-controller", "tokencleaner", false, "token-cleaner", crate::bootstrap::run_cleaner),
    controller!("ttl-after-finished-controller", "ttl-after-finished", true, "ttl-after-finished-controller", crate::ttl_after_finished::run),
    controller!("ttl-controller", "ttl", true, "ttl-controller", crate::node_ttl::run),
    controller!("validatingadmissionpolicy-status-controller", "validatingadmissionpolicy-status-controller", true, "validatingadmissionpolicy-status-controller", crate::policy_status::run),
    controller!("volumeattributesclass-protection-controller", "volumeattributesclass-protection-controller", true, "volumeattributesclass-protection-controller", crate::volume_protection::run_attributes_classes),
];

/// Upstream's controllers that are not here; naming one is an error that says so.
const ABSENT: &[&str] = &[
    "cloud-node-lifecycle-controller",
    "device-taint-eviction-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "node-route-controller",
    "podcertificaterequest-cleaner-controller",
    "podgroup-protection-controller",
    "resourcepoolstatusrequest-controller",
    "service-lb-controller",
    "selinux-warning-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
];

/// Runs the manager until shutdown.
///
/// # Errors
/// Whatever keeps it from running, with its cure.
pub async fn start(options: Options, process: component::Context) -> Result<(), anyhow::Error> {
    let options = Arc::new(options);
    let connection = connect::Options::daemon(&options.kubeconfig, process.daemon.name);
    let client = connect(&connection).await.cure("check --kubeconfig and the files it names")?;
    let informers = Informers::new(client.clone(), process.shutdown.clone());
    let context = Context {
        client: client.clone(),
        informers,
        options: Arc::clone(&options),
        features: process.features.clone(),
        shutdown: process.shutdown.clone(),
    };
    let health = Health::new();
    daemon::check_synced(&health, "informer-sync", &context.informers);
    let accounts = if options.identity.use_service_account_credentials {
        Some(Accounts::new(client.clone(), &connection, "kube-system", process.shutdown.clone()).await?)
    } else {
        None
    };
    let serving = Serving {
        name: process.daemon.name,
        default_port: DEFAULT_PORT,
        flags: &options.serving,
        authentication: &options.authentication,
    };
    let serving = serving.start(&client, health, process.shutdown.clone()).await?;
    let lead = move |stop| run_all(Context { shutdown: stop, ..context }, accounts);
    daemon::work(client, &options.election, "kube-controller-manager", process.shutdown, lead).await?;
    if let Some(serving) = serving {
        serving.await?;
    }
    Ok(())
}

/// Which controllers a `--controllers` value switches on.
fn enabled(selection: &[String]) -> impl Iterator<Item = &'static Entry> {
    let chosen = |entry: &&Entry| {
        let named = |prefix: &str| {
            selection.iter().any(|item| {
                item.strip_prefix(prefix).is_some_and(|name| name == entry.name || name == entry.alias)
            })
        };
        !named("-") && (named("") || (entry.on && selection.iter().any(|item| item == "*")))
    };
    TABLE.iter().filter(chosen)
}

/// Adds a problem for every name in `--controllers` that is no controller.
pub(crate) fn check_names(selection: &[String], problems: &mut Vec<String>) {
    for item in selection.iter().filter(|item| *item != "*") {
        let name = item.trim_start_matches('-');
        if TABLE.iter().any(|entry| entry.name == name || entry.alias == name) {
            continue;
        }
        if !ABSENT.contains(&name) {
            problems.push(format!("--controllers: {name:?} is not in the list of known controllers"));
        } else if !item.starts_with('-') {
            problems.push(format!(
                "--controllers: {name} is an upstream controller that Coxswain does not have; remove it"
            ));
        }
    }
}

/// Runs all enabled controllers until shutdown, each with the rights of its own account if there are accounts.
async fn run_all(context: Context, accounts: Option<Accounts>) {
    let mut running = tokio::task::JoinSet::new();
    let accounts = accounts.map(Arc::new);
    for entry in enabled(&context.options.controllers) {
        let (mut context, accounts) = (context.clone(), accounts.clone());
        running.spawn(async move {
            if let Some(accounts) = accounts.filter(|_| !entry.account.is_empty()) {
                match act_as(&accounts, entry, &context).await {
                    Some(client) => context.client = client,
                    None => return (entry.name, Ok(())),
                }
            }
            (entry.name, (entry.run)(context).await)
        });
    }
    tracing::info!(count = running.len(), "controllers started");
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((name, Ok(()))) => tracing::debug!(controller = name, "controller ended"),
            Ok((name, Err(error))) => {
                tracing::error!(controller = name, error = format!("{error:#}"), "controller cannot run");
            }
            Err(error) => tracing::error!(%error, "a controller panicked"),
        }
    }
    context.shutdown.cancelled().await;
}

/// A client with the rights of a controller's account, as soon as the server gives a token; `None` at shutdown.
async fn act_as(accounts: &Accounts, entry: &Entry, context: &Context) -> Option<client::Client> {
    let agent = component::version::user_agent("kube-controller-manager");
    let agent = format!("{agent}/system:serviceaccount:kube-system:{}", entry.account);
    loop {
        match accounts.client(entry.account, &agent).await {
            Ok(client) => return Some(client),
            Err(error) => tracing::warn!(controller = entry.name, %error, "no token for the controller yet"),
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return None,
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selection: &[&str]) -> Vec<&'static str> {
        let selection: Vec<String> = selection.iter().map(|item| (*item).to_owned()).collect();
        enabled(&selection).map(|entry| entry.name).collect()
    }

    #[test]
    fn selection_follows_upstream() {
        assert_eq!(names(&["*"]).len(), TABLE.iter().filter(|entry| entry.on).count());
        assert_eq!(names(&["deployment"]), ["deployment-controller"]);
        assert!(!names(&["*", "-deployment-controller"]).contains(&"deployment-controller"));
        let mut problems = Vec::new();
        check_names(&["nonsense".into(), "*".into(), "-service-lb-controller".into()], &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn the_table_is_sorted_and_without_doubles() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name), "keep the table sorted by name");
    }
}
