//! Arguments of plugins.

use api_types::k8s::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use component::duration::GoDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::PluginConfig;

/// Why a plugin's arguments cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// Not what the plugin takes.
    #[error("cannot read pluginConfig of {plugin}")]
    Parse {
        /// The plugin.
        plugin: String,
        /// Why.
        source: serde_yaml::Error,
    },
    /// A value that makes no sense.
    #[error("pluginConfig of {plugin}: {problem}")]
    Value {
        /// The plugin.
        plugin: String,
        /// What is wrong.
        problem: String,
    },
}

/// The arguments of one profile's plugins.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(pub &'a [PluginConfig]);

impl Args<'_> {
    /// The arguments of a plugin, or its defaults.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of<T: DeserializeOwned + Default>(&self, plugin: &str) -> Result<T, ArgsError> {
        let Some(config) = self.0.iter().find(|config| config.name == plugin) else {
            return Ok(T::default());
        };
        let mut args = config.args.clone();
        match &mut args {
            serde_yaml::Value::Null => return Ok(T::default()),
            serde_yaml::Value::Mapping(map) => {
                map.remove("apiVersion");
                map.remove("kind");
            }
            _ => {}
        }
        serde_yaml::from_value(args).map_err(|source| ArgsError::Parse { plugin: plugin.to_owned(), source })
    }
}

/// InterPodAffinityArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct InterPodAffinityArgs {
    /// What a required term of a running pod adds to the score.
    pub hard_pod_affinity_weight: i32,
    /// Leave running pods' preferences out.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// NodeAffinityArgs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeAffinityArgs {
    /// Holds for every pod in addition to its own.
    pub added_affinity: Option<NodeAffinity>,
}

/// A resource and how much it counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceWeight {
    /// Resource name.
    pub name: String,
    /// Weight, 1 to 100.
    #[serde(default = "one")]
    pub weight: i64,
}

fn one() -> i64 {
    1
}

fn cpu_and_memory() -> Vec<ResourceWeight> {
    ["cpu", "memory"].map(|name| ResourceWeight { name: name.to_owned(), weight: 1 }).into()
}

/// NodeResourcesBalancedAllocationArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalancedArgs {
    /// Resources that should be used evenly.
    pub resources: Vec<ResourceWeight>,
}

impl Default for BalancedArgs {
    fn default() -> Self {
        Self { resources: cpu_and_memory() }
    }
}

/// NodeResourcesFitArgs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FitArgs {
    /// Extended resources that the filter leaves out.
    pub ignored_resources: Vec<String>,
    /// Prefixes (before `/`) of extended resources that the filter leaves out.
    pub ignored_resource_groups: Vec<String>,
    /// How nodes are scored.
    pub scoring_strategy: ScoringStrategy,
}

/// `scoringStrategy` of NodeResourcesFitArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScoringStrategy {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: StrategyKind,
    /// Resources that count.
    pub resources: Vec<ResourceWeight>,
    /// For RequestedToCapacityRatio.
    pub requested_to_capacity_ratio: Option<RatioParam>,
}

impl Default for ScoringStrategy {
    fn default() -> Self {
        Self {
            kind: StrategyKind::LeastAllocated,
            resources: cpu_and_memory(),
            requested_to_capacity_ratio: None,
        }
    }
}

/// How use of a node makes its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum StrategyKind {
    /// Free nodes first.
    LeastAllocated,
    /// Full nodes first.
    MostAllocated,
    /// By a curve.
    RequestedToCapacityRatio,
}

/// `requestedToCapacityRatio`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RatioParam {
    /// The curve.
    pub shape: Vec<ShapePoint>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapePoint {
    /// Use, 0 to 100.
    pub utilization: i64,
    /// Score, 0 to 10.
    pub score: i64,
}

/// PodTopologySpreadArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SpreadArgs {
    /// Constraints for pods without any; their selectors come from the pods' services and controllers.
    pub default_constraints: Vec<TopologySpreadConstraint>,
    /// `System` or `List`.
    pub defaulting_type: String,
}

impl Default for SpreadArgs {
    fn default() -> Self {
        Self { default_constraints: Vec::new(), defaulting_type: "System".to_owned() }
    }
}

/// VolumeBindingArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VolumeBindingArgs {
    /// How long a claim may take to be bound.
    pub bind_timeout_seconds: u64,
    /// Curve for scores by storage use.
    pub shape: Option<Vec<ShapePoint>>,
}

impl Default for VolumeBindingArgs {
    fn default() -> Self {
        Self { bind_timeout_seconds: 600, shape: None }
    }
}

/// DefaultPreemptionArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DefaultPreemptionArgs {
    /// Share of nodes to try.
    pub min_candidate_nodes_percentage: usize,
    /// Number of nodes to try at least.
    pub min_candidate_nodes_absolute: usize,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// DynamicResourcesArgs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DynamicResourcesArgs {
    /// How long looking for devices for one node may take.
    pub filter_timeout: GoDuration,
    /// How long drivers may take to get devices ready.
    pub binding_timeout: GoDuration,
}

impl Default for DynamicResourcesArgs {
    fn default() -> Self {
        Self { filter_timeout: GoDuration::from_secs(10), binding_timeout: GoDuration::from_secs(600) }
    }
}
