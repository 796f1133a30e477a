//! PodTopologySpread: pods of a kind spread evenly over domains (KEP-895, KEP-3022, KEP-3094, KEP-3243).

mod constraint;
mod filter;
mod score;

use std::sync::Arc;

use api_types::k8s::api::core::v1::TopologySpreadConstraint;

use super::Build;
use crate::cache::PodInfo;
use crate::config::{ArgsError, SpreadArgs};
use crate::framework::{Event, Filter, Objects, Plugin, PreFilter, PreScore, Score, Snapshot};
use constraint::Constraint;

/// Node label with the node's own name.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Node label with the zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The plugin.
pub struct PodTopologySpread {
    /// For pods without constraints that belong to a service or controller.
    defaults: Vec<TopologySpreadConstraint>,
    /// Whether those are the built-in ones, which nodes without a zone may ignore.
    system_defaults: bool,
}

impl PodTopologySpread {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read or make no sense.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let args: SpreadArgs = build.args.of("PodTopologySpread")?;
        let system_defaults = args.defaulting_type == "System";
        let problem = match args.defaulting_type.as_str() {
            "System" if !args.default_constraints.is_empty() => "defaultConstraints need defaultingType List",
            "System" | "List" => "",
            _ => "defaultingType must be System or List",
        };
        let problem = match args
            .default_constraints
            .iter()
            .any(|constraint| constraint.label_selector.is_some())
        {
            true => {
                "defaultConstraints must not have a labelSelector: it comes from the pods' services and controllers"
            }
            false => problem,
        };
        if !problem.is_empty() {
            return Err(ArgsError::Value {
                plugin: "PodTopologySpread".to_owned(),
                problem: problem.to_owned(),
            });
        }
        let soft = |key: &str, max_skew| TopologySpreadConstraint {
            max_skew,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            ..TopologySpreadConstraint::default()
        };
        let defaults =
            if system_defaults { vec![soft(HOSTNAME, 3), soft(ZONE, 5)] } else { args.default_constraints };
        Ok(Self { defaults, system_defaults })
    }

    /// The pod's constraints that must hold (`hard`) or should.
    fn constraints(&self, objects: &Objects, pod: &PodInfo, hard: bool) -> Vec<Constraint> {
        let wanted = if hard { "DoNotSchedule" } else { "ScheduleAnyway" };
        let of_kind = |constraint: &&TopologySpreadConstraint| constraint.when_unsatisfiable == wanted;
        match pod.spec().topology_spread_constraints.as_deref() {
            Some(own) if !own.is_empty() => {
                own.iter().filter(of_kind).map(|constraint| Constraint::new(constraint, pod)).collect()
            }
            _ => {
                let mut defaults = self.defaults.iter().filter(of_kind).peekable();
                if defaults.peek().is_none() {
                    return Vec::new();
                }
                let Some(selector) = constraint::default_selector(objects, pod) else { return Vec::new() };
                defaults.map(|default| Constraint::with_selector(default, selector.clone(), pod)).collect()
            }
        }
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn pre_score(self: Arc<Self>) -> Option<Arc<dyn PreScore>> {
        Some(self)
    }
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        Some(self)
    }

    fn hint(&self, snapshot: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        let constraints = || self.constraints(snapshot.objects, pod, true);
        let counted = |other: &PodInfo| constraints().iter().any(|constraint| constraint.key.matches(other));
        match event {
            Event::PodAdded(other) => counted(other),
            // Its own state does not matter: it is gone or going.
            Event::PodRemoved(other) => constraints().iter().any(|constraint| constraint.selects(other)),
            Event::PodChanged { old, new } => counted(old) != counted(new),
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => {
                constraints().iter().all(|constraint| node.labels().contains_key(&*constraint.topology_key))
            }
            Event::NodeRemoved => true,
            Event::Updated { old, new } => old.labels() != new.labels() || old.spec() != new.spec(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
