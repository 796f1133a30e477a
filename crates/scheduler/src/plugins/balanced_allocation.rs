//! NodeResourcesBalancedAllocation: prefers nodes whose resources would be used to the same degree.

use std::sync::Arc;

use super::Build;
use super::node_resources::{Weights, exact};
use crate::cache::{NodeInfo, PodInfo};
use crate::config::{ArgsError, BalancedArgs};
use crate::framework::{CycleState, MAX_SCORE, Plugin, PreScore, PreScored, Rejection, Score, Snapshot};

/// The plugin.
pub struct BalancedAllocation {
    resources: Weights,
}

impl BalancedAllocation {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read or make no sense.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let name = "NodeResourcesBalancedAllocation";
        let args: BalancedArgs = build.args.of(name)?;
        Ok(Self { resources: Weights::new(name, args.resources)? })
    }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
    fn pre_score(self: Arc<Self>) -> Option<Arc<dyn PreScore>> {
        Some(self)
    }
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        Some(self)
    }
}

impl PreScore for BalancedAllocation {
    fn pre_score(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        pod: &PodInfo,
        _: &[&NodeInfo],
    ) -> Result<PreScored, Rejection> {
        // Pods that ask for nothing would all go to the one node that is balanced best.
        let asks = self.resources.0.iter().any(|resource| pod.requests.exact.amount(&resource.name) > 0);
        Ok(if asks { PreScored::Look } else { PreScored::Skip })
    }
}

impl Score for BalancedAllocation {
    fn score(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let resources = self.resources.0.iter().filter_map(|resource| exact(&resource.name, pod, node));
        let shares = resources.map(|amounts| (amounts.wanted as f64 / amounts.all as f64).min(1.0));
        let (count, sum, squares) = shares.fold((0.0, 0.0, 0.0), |(n, sum, squares), share| {
            (n + 1.0, sum + share, squares + share * share)
        });
        if count < 2.0 {
            return MAX_SCORE;
        }
        let mean: f64 = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        // Rounding noise must not cost a point.
        ((1.0 - deviation) * MAX_SCORE as f64 + 1e-9) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing;

    #[test]
    fn even_use_is_best() {
        let plugin = testing::build("{}", |build| BalancedAllocation::new(build).unwrap());
        let pod = testing::pod_requesting("cpu: '1', memory: 2Gi");
        let cache = testing::empty_cache();
        for (used, expected) in [("cpu: '1', memory: 2Gi", 100), ("cpu: '3'", 62), ("memory: 6Gi", 62)] {
            let node = testing::node("{cpu: '4', memory: 8Gi}", &[used]);
            let score = cache.with_snapshot(|s| plugin.score(s, &CycleState::default(), &pod, &node));
            assert_eq!(score, expected, "{used}");
        }
    }
}
