//! `KubeSchedulerConfiguration` (kubescheduler.config.k8s.io/v1): defaults, merging of plugin lists, arguments.

mod args;
mod points;

use std::path::{Path, PathBuf};

use component::duration::GoDuration;
use serde::Deserialize;

pub use component::config::Error as LoadError;

pub use args::{
    Args, ArgsError, BalancedArgs, DefaultPreemptionArgs, DynamicResourcesArgs, FitArgs,
    InterPodAffinityArgs, NodeAffinityArgs, ResourceWeight, ScoringStrategy, ShapePoint, SpreadArgs,
    StrategyKind, VolumeBindingArgs,
};
pub use points::{Enabled, Plugins, Point, Points};

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";

/// The file given by `--config`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    /// Upstream's number of worker routines; decisions here need none, so any value is met.
    pub parallelism: i32,
    /// Leader election.
    pub leader_election: LeaderElection,
    /// Connection to the apiserver.
    pub client_connection: ClientConnection,
    /// Profiling endpoints; there are none, so either value is met.
    pub enable_profiling: bool,
    /// See `enable_profiling`.
    pub enable_contention_profiling: bool,
    /// Share of nodes to look at, 0 for the adaptive one.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// First back-off.
    pub pod_initial_backoff_seconds: u64,
    /// Longest back-off.
    pub pod_max_backoff_seconds: u64,
    /// One scheduler per entry.
    pub profiles: Vec<ProfileConfig>,
    /// Calls to extender services, which this scheduler does not make.
    pub extenders: Vec<serde_yaml::Value>,
    /// Delay of leaving the informers' first state out; not served.
    pub delay_cache_until_active: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            parallelism: 16,
            leader_election: LeaderElection::default(),
            client_connection: ClientConnection::default(),
            enable_profiling: true,
            enable_contention_profiling: true,
            percentage_of_nodes_to_score: None,
            pod_initial_backoff_seconds: 1,
            pod_max_backoff_seconds: 10,
            profiles: vec![ProfileConfig::default()],
            extenders: Vec::new(),
            delay_cache_until_active: false,
        }
    }
}

/// `leaderElection`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderElection {
    /// Whether only one of several schedulers works.
    pub leader_elect: bool,
    /// See `--leader-elect-lease-duration`.
    pub lease_duration: GoDuration,
    /// See `--leader-elect-renew-deadline`.
    pub renew_deadline: GoDuration,
    /// See `--leader-elect-retry-period`.
    pub retry_period: GoDuration,
    /// Kind of lock; `leases` only.
    pub resource_lock: String,
    /// Name of the lease.
    pub resource_name: String,
    /// Namespace of the lease.
    pub resource_namespace: String,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            leader_elect: true,
            lease_duration: GoDuration::from_secs(15),
            renew_deadline: GoDuration::from_secs(10),
            retry_period: GoDuration::from_secs(2),
            resource_lock: "leases".to_owned(),
            resource_name: "kube-scheduler".to_owned(),
            resource_namespace: "kube-system".to_owned(),
        }
    }
}

/// `clientConnection`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConnection {
    /// Kubeconfig file; empty for the service account.
    pub kubeconfig: PathBuf,
    /// Only JSON is spoken; any value is met.
    pub accept_content_types: String,
    /// See `accept_content_types`.
    pub content_type: String,
    /// Requests are not limited on the client's side; any value is met.
    pub qps: f32,
    /// See `qps`.
    pub burst: i32,
}

/// `profiles[]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileConfig {
    /// Pods with this `spec.schedulerName`.
    pub scheduler_name: String,
    /// Share of nodes to look at, instead of the general one.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Changes of the default lists of plugins.
    pub plugins: Plugins,
    /// Arguments by plugin.
    pub plugin_config: Vec<PluginConfig>,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            percentage_of_nodes_to_score: None,
            plugins: Plugins::default(),
            plugin_config: Vec::new(),
        }
    }
}

/// `profiles[].pluginConfig[]`.
#[derive(Clone, Debug, Deserialize)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Its arguments, see [`Args`].
    #[serde(default)]
    pub args: serde_yaml::Value,
}

/// Reads the configuration file.
///
/// # Errors
/// When it cannot be read or parsed, or has unknown keys.
pub fn load(path: &Path) -> Result<Configuration, component::config::Error> {
    component::config::load(path, &[(API_VERSION, "KubeSchedulerConfiguration")])
}

impl Configuration {
    /// Adds a line to `problems` for everything that is not possible or not served.
    pub fn validate(&self, problems: &mut Vec<String>) {
        if !self.extenders.is_empty() {
            problems.push("extenders: scheduler extenders are not served; remove them".to_owned());
        }
        if self.delay_cache_until_active {
            problems.push("delayCacheUntilActive: is not served; remove it".to_owned());
        }
        if self.profiles.is_empty() {
            problems.push("profiles: at least one is needed".to_owned());
        }
        if self.pod_initial_backoff_seconds == 0 {
            problems.push("podInitialBackoffSeconds: must be greater than 0".to_owned());
        }
        if self.pod_max_backoff_seconds < self.pod_initial_backoff_seconds {
            problems.push(
                "podMaxBackoffSeconds: must be greater than or equal to podInitialBackoffSeconds".to_owned(),
            );
        }
        let mut share = |field: &str, share: Option<i32>| {
            if share.is_some_and(|share| !(0..=100).contains(&share)) {
                problems.push(format!("{field}: must be between 0 and 100"));
            }
        };
        share("percentageOfNodesToScore", self.percentage_of_nodes_to_score);
        for (at, profile) in self.profiles.iter().enumerate() {
            let field = format!("profiles[{at}].percentageOfNodesToScore");
            share(&field, profile.percentage_of_nodes_to_score);
        }
        let mut names: Vec<&str> =
            self.profiles.iter().map(|profile| profile.scheduler_name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            problems.push("profiles: schedulerName must be different in every profile".to_owned());
        }
        if names.contains(&"") {
            problems.push("profiles: schedulerName must not be empty".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
