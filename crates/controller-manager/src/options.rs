//! The command line, flag names as upstream's.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use component::duration::GoDuration;
use component::flags;

/// Everything that can be said to the controller manager.
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
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
    #[command(flatten)]
    pub(crate) volumes: Volumes,
    #[command(flatten)]
    pub(crate) autoscaling: Autoscaling,
    #[command(flatten)]
    pub(crate) accepted: flags::Accepted,
    #[command(flatten)]
    pub(crate) unneeded: Unneeded,
    /// Controllers to run: '*' is all that are on by default, 'name' switches one on, '-name' off
    #[arg(long, value_delimiter = ',', action = ArgAction::Append, default_values = ["*"])]
    pub(crate) controllers: Vec<String>,
}

/// Credentials of the cluster that controllers hand on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Identity flags")]
pub struct Identity {
    /// Key that signs the tokens of service accounts with token Secrets
    #[arg(long)]
    pub(crate) service_account_private_key_file: Option<PathBuf>,
    /// CA bundle that is published to every namespace
    #[arg(long)]
    pub(crate) root_ca_file: Option<PathBuf>,
    /// Use a service account's credentials for each controller
    #[arg(long)]
    pub(crate) use_service_account_credentials: bool,
    /// How long a token Secret that was made automatically has to be unused before it is marked, and after that removed
    #[arg(long, default_value = "8760h0m0s")]
    pub(crate) legacy_service_account_token_clean_up_period: GoDuration,
    /// Name of the cluster
    #[arg(long, default_value = "kubernetes")]
    pub(crate) cluster_name: String,
}

/// Address ranges.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network flags")]
pub struct Network {
    /// Give every node a range for its pods
    #[arg(long)]
    pub(crate) allocate_node_cidrs: bool,
    /// Ranges that pod ranges are cut from, one per IP family
    #[arg(long, value_delimiter = ',')]
    pub(crate) cluster_cidr: Vec<String>,
    /// Ranges of service addresses, which pod ranges must not overlap
    #[arg(long, value_delimiter = ',')]
    pub(crate) service_cluster_ip_range: Vec<String>,
    /// Mask size of a node's range
    #[arg(long, default_value_t = 0)]
    pub(crate) node_cidr_mask_size: u8,
    /// Mask size of a node's IPv4 range
    #[arg(long, default_value_t = 0)]
    pub(crate) node_cidr_mask_size_ipv4: u8,
    /// Mask size of a node's IPv6 range
    #[arg(long, default_value_t = 0)]
    pub(crate) node_cidr_mask_size_ipv6: u8,
    /// How pod ranges are given out
    #[arg(long, default_value = "RangeAllocator", value_parser = ["RangeAllocator"])]
    pub(crate) cidr_allocator_type: String,
    /// Program routes in a cloud; there is no cloud here, so either value is met
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub(crate) configure_cloud_routes: bool,
}

/// Certificates for signers; the general pair serves signers without their own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Certificate signing flags")]
pub struct Signing {
    /// CA certificate that signs requests
    #[arg(long)]
    pub(crate) cluster_signing_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    pub(crate) cluster_signing_key_file: Option<PathBuf>,
    /// Longest validity of a signed certificate
    #[arg(long, default_value = "8760h0m0s")]
    pub(crate) cluster_signing_duration: GoDuration,
    /// CA certificate for kubernetes.io/kubelet-serving
    #[arg(long)]
    pub(crate) cluster_signing_kubelet_serving_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    pub(crate) cluster_signing_kubelet_serving_key_file: Option<PathBuf>,
    /// CA certificate for kubernetes.io/kube-apiserver-client-kubelet
    #[arg(long)]
    pub(crate) cluster_signing_kubelet_client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    pub(crate) cluster_signing_kubelet_client_key_file: Option<PathBuf>,
    /// CA certificate for kubernetes.io/kube-apiserver-client
    #[arg(long)]
    pub(crate) cluster_signing_kube_apiserver_client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    pub(crate) cluster_signing_kube_apiserver_client_key_file: Option<PathBuf>,
    /// CA certificate for kubernetes.io/legacy-unknown
    #[arg(long)]
    pub(crate) cluster_signing_legacy_unknown_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    pub(crate) cluster_signing_legacy_unknown_key_file: Option<PathBuf>,
}

/// Workers and periods of single controllers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Controller flags")]
pub struct Tuning {
    /// Deployments worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_deployment_syncs: usize,
    /// ReplicaSets worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_replicaset_syncs: usize,
    /// ReplicationControllers worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_rc_syncs: usize,
    /// DaemonSets worked on at once
    #[arg(long, default_value_t = 2)]
    pub(crate) concurrent_daemonset_syncs: usize,
    /// StatefulSets worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_statefulset_syncs: usize,
    /// Jobs worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_job_syncs: usize,
    /// CronJobs worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_cron_job_syncs: usize,
    /// ValidatingAdmissionPolicies whose expressions are checked at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_validating_admission_policy_status_syncs: usize,
    /// Endpoints worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_endpoint_syncs: usize,
    /// Services whose EndpointSlices are worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_service_endpoint_syncs: usize,
    /// Most endpoints in one EndpointSlice
    #[arg(long, default_value_t = 100)]
    pub(crate) max_endpoints_per_slice: usize,
    /// Namespaces worked on at once
    #[arg(long, default_value_t = 10)]
    pub(crate) concurrent_namespace_syncs: usize,
    /// Objects that the garbage collector works on at once
    #[arg(long, default_value_t = 20)]
    pub(crate) concurrent_gc_syncs: usize,
    /// Run the garbage collector; the apiserver needs the same value
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub(crate) enable_garbage_collector: bool,
    /// ResourceQuotas worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_resource_quota_syncs: usize,
    /// Period of full quota recalculation
    #[arg(long, default_value = "5m0s")]
    pub(crate) resource_quota_sync_period: GoDuration,
    /// Service account tokens worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_serviceaccount_token_syncs: usize,
    /// Finished objects with a time to live worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_ttl_after_finished_syncs: usize,
    /// Pods whose resource claims are worked on at once
    #[arg(long, default_value_t = 50)]
    pub(crate) concurrent_resourceclaim_syncs: usize,
    /// Period of looking at node health
    #[arg(long, default_value = "5s")]
    pub(crate) node_monitor_period: GoDuration,
    /// How long a node may be silent before it is unhealthy
    #[arg(long, default_value = "50s")]
    pub(crate) node_monitor_grace_period: GoDuration,
    /// How long a new node may be silent
    #[arg(long, default_value = "1m0s")]
    pub(crate) node_startup_grace_period: GoDuration,
    /// Nodes emptied per second in a zone that is healthy but for them
    #[arg(long, default_value_t = 0.1)]
    pub(crate) node_eviction_rate: f64,
    /// Nodes emptied per second in a large zone where many nodes are silent
    #[arg(long, default_value_t = 0.01)]
    pub(crate) secondary_node_eviction_rate: f64,
    /// Zones up to this size are left alone while many of their nodes are silent
    #[arg(long, default_value_t = 50)]
    pub(crate) large_cluster_size_threshold: usize,
    /// Share of silent nodes that makes a zone unhealthy; three nodes at least
    #[arg(long, default_value_t = 0.55)]
    pub(crate) unhealthy_zone_threshold: f64,
    /// Finished pods to keep before the oldest are deleted; 0 or less for no limit
    #[arg(long, default_value_t = 12500, allow_negative_numbers = true)]
    pub(crate) terminated_pod_gc_threshold: i64,
}

/// Volumes and claims.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Volume flags")]
pub struct Volumes {
    /// Ask provisioners for volumes when none suits a claim
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub(crate) enable_dynamic_provisioning: bool,
    /// How often claims that wait for a volume are looked at again
    #[arg(long, default_value = "15s")]
    pub(crate) pvclaimbinder_sync_period: GoDuration,
    /// Pods whose ephemeral volumes are worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_ephemeralvolume_syncs: usize,
    /// Leave volumes attached however long they are in use by a node that does not answer
    #[arg(long)]
    pub(crate) disable_force_detach_on_timeout: bool,
}

/// Horizontal pod autoscaling.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Autoscaling flags")]
pub struct Autoscaling {
    /// Autoscalers worked on at once
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrent_horizontal_pod_autoscaler_syncs: usize,
    /// How often each autoscaler is looked at
    #[arg(long, default_value = "15s")]
    pub(crate) horizontal_pod_autoscaler_sync_period: GoDuration,
    /// How far back recommendations keep the autoscaler from scaling down
    #[arg(long, default_value = "5m0s")]
    pub(crate) horizontal_pod_autoscaler_downscale_stabilization: GoDuration,
    /// Smallest relative deviation from the target that matters
    #[arg(long, default_value_t = 0.1)]
    pub(crate) horizontal_pod_autoscaler_tolerance: f64,
    /// How long after a pod's start its CPU samples may be left out
    #[arg(long, default_value = "5m0s")]
    pub(crate) horizontal_pod_autoscaler_cpu_initialization_period: GoDuration,
    /// How long after a pod's start changes of readiness count as its first
    #[arg(long, default_value = "30s")]
    pub(crate) horizontal_pod_autoscaler_initial_readiness_delay: GoDuration,
}

/// Flags that change nothing here because what they tune does not exist: any value is met.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accepted flags")]
pub struct Unneeded {
    /// Attachments are read from the apiserver, which is never wrong about them
    #[arg(long, default_value = "1m0s")]
    pub(crate) attach_detach_reconcile_sync_period: GoDuration,
    /// Attachments are read from the apiserver, which is never wrong about them
    #[arg(long)]
    pub(crate) disable_attach_detach_reconcile_sync: bool,
    /// No periodic resync: changes are never missed
    #[arg(long, default_value = "12h0m0s")]
    pub(crate) min_resync_period: GoDuration,
    /// Informers notice deletions of namespaces at once
    #[arg(long, default_value = "5m0s")]
    pub(crate) namespace_sync_period: GoDuration,
    /// Plug-in directory of a removed volume type
    #[arg(long, default_value = "")]
    pub(crate) flex_volume_plugin_dir: String,
}

impl component::Options for Options {
    fn logging(&self) -> &flags::Logging {
        &self.logging
    }

    fn feature_gates(&self) -> Option<&flags::FeatureGates> {
        Some(&self.gates)
    }

    fn validate(&self, problems: &mut Vec<String>) {
        self.gates.features(problems);
        self.election.validate(problems);
        self.serving.validate(problems);
        crate::manager::check_names(&self.controllers, problems);
        for (flag, ranges) in [
            ("cluster-cidr", &self.network.cluster_cidr),
            ("service-cluster-ip-range", &self.network.service_cluster_ip_range),
        ] {
            for range in ranges.iter().filter(|range| crate::common::cidr::Cidr::parse(range).is_none()) {
                problems.push(format!("--{flag}: {range:?} is not an address range such as 10.244.0.0/16"));
            }
        }
        if self.network.allocate_node_cidrs && self.network.cluster_cidr.is_empty() {
            problems.push("--allocate-node-cidrs needs --cluster-cidr".to_owned());
        }
        let (asks, authorizes) =
            (&self.authentication.authentication_kubeconfig, &self.authentication.authorization_kubeconfig);
        if asks.is_some() && authorizes.is_some() && asks != authorizes {
            problems.push(
                "--authentication-kubeconfig and --authorization-kubeconfig must name the same file"
                    .to_owned(),
            );
        }
        for (flag, path) in [
            ("root-ca-file", &self.identity.root_ca_file),
            ("service-account-private-key-file", &self.identity.service_account_private_key_file),
            ("cluster-signing-cert-file", &self.signing.cluster_signing_cert_file),
            ("cluster-signing-key-file", &self.signing.cluster_signing_key_file),
        ] {
            if let Some(path) = path
                && let Err(error) = std::fs::File::open(path)
            {
                problems.push(format!("--{flag}: cannot read {}: {error}", path.display()));
            }
        }
    }
}

/// Where the manager serves when no flag says otherwise.
pub(crate) const DEFAULT_PORT: u16 = 10257;

impl Options {
    /// The address for `/healthz` and `/metrics`, for log lines.
    pub fn bind_address(&self) -> IpAddr {
        self.serving.bind_address
    }
}
