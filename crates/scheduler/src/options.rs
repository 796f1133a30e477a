//! The command line, flag names as upstream's.

use std::path::PathBuf;

use clap::Args;
use component::duration::GoDuration;
use component::flags;

use crate::config::{self, Configuration};

/// Where the scheduler serves when no flag says otherwise.
pub(crate) const DEFAULT_PORT: u16 = 10259;

/// Everything that can be said to the scheduler.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    pub(crate) logging: flags::Logging,
    #[command(flatten)]
    pub(crate) gates: flags::FeatureGates,
    #[command(flatten)]
    pub(crate) kubeconfig: flags::Kubeconfig,
    #[command(flatten)]
    pub(crate) election: flags::LeaderElection,
    #[command(flatten)]
    pub(crate) serving: flags::SecureServing,
    #[command(flatten)]
    pub(crate) authentication: flags::Authentication,
    #[command(flatten)]
    pub(crate) accepted: flags::Accepted,
    /// Configuration file (KubeSchedulerConfiguration, kubescheduler.config.k8s.io/v1)
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// After this long an unschedulable pod is tried again though nothing relevant was seen
    #[arg(long, default_value = "5m0s")]
    pub(crate) pod_max_in_unschedulable_pods_duration: GoDuration,
}

impl component::Options for Options {
    fn logging(&self) -> &flags::Logging {
        &self.logging
    }

    fn feature_gates(&self) -> Option<&flags::FeatureGates> {
        Some(&self.gates)
    }

    fn validate(&self, problems: &mut Vec<String>) {
        let features = self.gates.features(problems);
        self.serving.validate(problems);
        let mut check = |configuration: &Configuration| {
            configuration.validate(problems);
            self.election(configuration).validate(problems);
            let objects = crate::framework::Objects::detached();
            for profile in &configuration.profiles {
                if let Err(error) = crate::process::profile(profile, configuration, &features, &objects) {
                    problems.push(component::exit::render("--config", &error));
                }
            }
        };
        match &self.config {
            None => check(&Configuration::default()),
            Some(path) => match config::load(path) {
                Ok(configuration) => check(&configuration),
                Err(error) => problems.push(component::exit::render("--config", &anyhow::Error::new(error))),
            },
        }
    }
}

impl Options {
    /// The configuration: the file's when one is given.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn configuration(&self) -> Result<Configuration, config::LoadError> {
        let mut configuration = match &self.config {
            Some(path) => config::load(path)?,
            None => Configuration::default(),
        };
        let named = &configuration.client_connection.kubeconfig;
        if named.as_os_str().is_empty() {
            configuration.client_connection.kubeconfig =
                self.kubeconfig.kubeconfig.clone().unwrap_or_default();
        }
        Ok(configuration)
    }

    /// Leader election: what a flag changes from its default holds, else what the file says.
    pub fn election(&self, configuration: &Configuration) -> flags::LeaderElection {
        let (flags, file) = (&self.election, &configuration.leader_election);
        let defaults = config::LeaderElection::default();
        let duration = |flag: GoDuration, default: GoDuration, file: GoDuration| {
            if flag == default { file } else { flag }
        };
        let text = |flag: &str, default: &str, file: &str| {
            if flag.is_empty() || flag == default { file.to_owned() } else { flag.to_owned() }
        };
        flags::LeaderElection {
            leader_elect: flags.leader_elect && file.leader_elect,
            leader_elect_lease_duration: duration(
                flags.leader_elect_lease_duration,
                defaults.lease_duration,
                file.lease_duration,
            ),
            leader_elect_renew_deadline: duration(
                flags.leader_elect_renew_deadline,
                defaults.renew_deadline,
                file.renew_deadline,
            ),
            leader_elect_retry_period: duration(
                flags.leader_elect_retry_period,
                defaults.retry_period,
                file.retry_period,
            ),
            leader_elect_resource_lock: text(
                &flags.leader_elect_resource_lock,
                &defaults.resource_lock,
                &file.resource_lock,
            ),
            leader_elect_resource_name: text(
                &flags.leader_elect_resource_name,
                &defaults.resource_name,
                &file.resource_name,
            ),
            leader_elect_resource_namespace: text(
                &flags.leader_elect_resource_namespace,
                &defaults.resource_namespace,
                &file.resource_namespace,
            ),
        }
    }
}
