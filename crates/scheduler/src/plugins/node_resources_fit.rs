//! NodeResourcesFit: what a pod requests must be free on its node; the score prefers free, full or by a curve.

use std::sync::Arc;

use super::Build;
use super::node_resources::{Amounts, Weights};
use crate::cache::{NodeInfo, PodInfo, Resources, is_extended};
use crate::config::{ArgsError, FitArgs, ShapePoint, StrategyKind};
use crate::framework::{
    Code, CycleState, Event, Filter, MAX_SCORE, Plugin, PreFilter, PreFiltered, Reason, Rejection, Score,
    Snapshot, Verdict,
};

/// The plugin.
pub struct NodeResourcesFit {
    ignored: Vec<String>,
    ignored_groups: Vec<String>,
    kind: StrategyKind,
    weights: Weights,
    shape: Vec<ShapePoint>,
}

impl NodeResourcesFit {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read or make no sense.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let args: FitArgs = build.args.of("NodeResourcesFit")?;
        let strategy = args.scoring_strategy;
        let shape = strategy.requested_to_capacity_ratio.map(|ratio| ratio.shape).unwrap_or_default();
        if strategy.kind == StrategyKind::RequestedToCapacityRatio {
            super::check_shape("NodeResourcesFit", &shape)?;
        }
        Ok(Self {
            ignored: args.ignored_resources,
            ignored_groups: args.ignored_resource_groups,
            kind: strategy.kind,
            weights: Weights::new("NodeResourcesFit", strategy.resources)?,
            shape,
        })
    }

    fn ignores(&self, resource: &str) -> bool {
        let group = resource.split('/').next().unwrap_or_default();
        is_extended(resource)
            && (self.ignored.iter().any(|name| name == resource)
                || self.ignored_groups.iter().any(|name| name == group))
    }

    /// What is missing on a node, by resource, and whether it could ever be there.
    fn missing(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Vec<(Reason, bool)> {
        let mut missing = Vec::new();
        if node.pods.len() as i64 + 1 > node.allowed_pods {
            missing.push((Reason::Borrowed("Too many pods"), false));
        }
        let wanted = &pod.requests.exact;
        if wanted.is_zero() {
            return missing;
        }
        let mut check = |reason: Reason, wanted: i64, allocatable: i64, used: i64| {
            if wanted > 0 && wanted > allocatable - used {
                missing.push((reason, wanted > allocatable));
            }
        };
        let (all, used): (&Resources, &Resources) = (&node.allocatable, &node.requested);
        check("Insufficient cpu".into(), wanted.milli_cpu, all.milli_cpu, used.milli_cpu);
        check("Insufficient memory".into(), wanted.memory, all.memory, used.memory);
        check(
            "Insufficient ephemeral-storage".into(),
            wanted.ephemeral_storage,
            all.ephemeral_storage,
            used.ephemeral_storage,
        );
        for (name, amount) in &wanted.scalars {
            if self.ignores(name) || super::dynamic_resources::provides(state, name, node) {
                continue;
            }
            check(format!("Insufficient {name}").into(), *amount, all.amount(name), used.amount(name));
        }
        missing
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        Some(self)
    }

    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::PodRemoved(_) => true,
            Event::PodChanged { old, new } => frees(&old.requests.exact, &new.requests.exact),
            Event::Updated { old, new } => frees(&old.requests.exact, &new.requests.exact),
            // Only a node that could hold the pod, if not for its present pods, is worth a try.
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => {
                self.missing(&CycleState::default(), pod, node).is_empty()
            }
            Event::DeviceClass => pod.requests.exact.scalars.iter().any(|(name, _)| is_extended(name)),
            _ => false,
        }
    }
}

/// Whether some amount went down.
fn frees(old: &Resources, new: &Resources) -> bool {
    let mut larger = new.clone();
    larger.raise(old);
    larger != *new
}

impl PreFilter for NodeResourcesFit {
    fn pre_filter(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        _: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        Ok(PreFiltered::Look)
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, _: &Snapshot<'_>, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let missing = self.missing(state, pod, node);
        if missing.is_empty() {
            return Ok(());
        }
        let hopeless = missing.iter().any(|(_, hopeless)| *hopeless);
        Err(Rejection {
            code: if hopeless { Code::Unresolvable } else { Code::Unschedulable },
            reasons: missing.into_iter().map(|(reason, _)| reason).collect(),
            plugin: "",
        })
    }
}

impl Score for NodeResourcesFit {
    fn score(&self, _: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        match self.kind {
            StrategyKind::LeastAllocated => {
                self.weights.mean(
                    pod,
                    node,
                    |Amounts { wanted, all }| {
                        if wanted > all { 0 } else { (all - wanted) * MAX_SCORE / all }
                    },
                )
            }
            StrategyKind::MostAllocated => {
                self.weights.mean(pod, node, |Amounts { wanted, all }| wanted.min(all) * MAX_SCORE / all)
            }
            StrategyKind::RequestedToCapacityRatio => self.weights.rounded_mean(pod, node, |amounts| {
                let Amounts { wanted, all } = amounts;
                let used = if wanted > all { MAX_SCORE } else { wanted * MAX_SCORE / all };
                super::on_curve(&self.shape, used)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing;

    fn plugin(args: &str) -> NodeResourcesFit {
        testing::build(args, |build| NodeResourcesFit::new(build).unwrap())
    }

    #[test]
    fn says_everything_that_is_missing() {
        let node = testing::node("{cpu: '1', memory: 1Gi, pods: '1', example.com/gpu: '1'}", &["cpu: 500m"]);
        let cases: &[(&str, &[&str], Code)] = &[
            ("cpu: 600m", &["Too many pods", "Insufficient cpu"], Code::Unschedulable),
            (
                "cpu: '2', memory: 2Gi",
                &["Too many pods", "Insufficient cpu", "Insufficient memory"],
                Code::Unresolvable,
            ),
            ("example.com/gpu: '2'", &["Too many pods", "Insufficient example.com/gpu"], Code::Unresolvable),
            ("cpu: 500m", &["Too many pods"], Code::Unschedulable),
        ];
        let cache = testing::empty_cache();
        for (requests, reasons, code) in cases {
            let pod = testing::pod_requesting(requests);
            let rejection = cache
                .with_snapshot(|snapshot| plugin("{}").filter(snapshot, &CycleState::default(), &pod, &node))
                .unwrap_err();
            assert_eq!(rejection.reasons, *reasons, "{requests}");
            assert_eq!(rejection.code, *code, "{requests}");
        }
    }

    #[test]
    fn scores_by_strategy() {
        let node = testing::node("{cpu: '4', memory: 8Gi, pods: '10'}", &["cpu: '1', memory: 2Gi"]);
        let pod = testing::pod_requesting("cpu: '1', memory: 2Gi");
        let cache = testing::empty_cache();
        let ratio = "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}}}";
        for (args, expected) in [("{}", 50), ("{scoringStrategy: {type: MostAllocated}}", 50), (ratio, 50)] {
            let score = cache
                .with_snapshot(|snapshot| plugin(args).score(snapshot, &CycleState::default(), &pod, &node));
            assert_eq!(score, expected, "{args}");
        }
        let free = testing::node("{cpu: '4', memory: 8Gi, pods: '10'}", &[]);
        let score = |node| cache.with_snapshot(|s| plugin("{}").score(s, &CycleState::default(), &pod, node));
        assert_eq!(score(&free), 75);
    }
}
