//! The plugins, one file each, and the table that makes them from the configuration.

mod balanced_allocation;
mod default_binder;
mod default_preemption;
mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_declared_features;
mod node_name;
mod node_ports;
mod node_resources;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod priority_sort;
mod scheduling_gates;
mod taint_toleration;
#[cfg(test)]
pub(crate) mod testing;
mod tolerations;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;
mod volumes;

use std::sync::Arc;

use component::features::Features;

use crate::config::{Args, ArgsError, ShapePoint};
use crate::framework::{MAX_SCORE, Objects, Plugin};

/// What plugins are made from.
pub struct Build<'a> {
    /// Arguments of the profile's plugins.
    pub args: Args<'a>,
    /// Feature gates.
    pub features: &'a Features,
    /// Mirrors of objects, for plugins that work while binding.
    pub objects: &'a Objects,
}

/// Makes the plugin of that name; `None` when there is none.
///
/// # Errors
/// When its arguments cannot be used.
pub fn make(name: &str, build: &Build<'_>) -> Result<Option<Arc<dyn Plugin>>, ArgsError> {
    Ok(Some(match name {
        "SchedulingGates" => Arc::new(scheduling_gates::SchedulingGates),
        "PrioritySort" => Arc::new(priority_sort::PrioritySort),
        "NodeUnschedulable" => Arc::new(node_unschedulable::NodeUnschedulable),
        "NodeName" => Arc::new(node_name::NodeName),
        "TaintToleration" => Arc::new(taint_toleration::TaintToleration),
        "NodeAffinity" => Arc::new(node_affinity::NodeAffinity::new(build)?),
        "NodePorts" => Arc::new(node_ports::NodePorts),
        "NodeResourcesFit" => Arc::new(node_resources_fit::NodeResourcesFit::new(build)?),
        "NodeResourcesBalancedAllocation" => Arc::new(balanced_allocation::BalancedAllocation::new(build)?),
        "PodTopologySpread" => Arc::new(pod_topology_spread::PodTopologySpread::new(build)?),
        "InterPodAffinity" => Arc::new(inter_pod_affinity::InterPodAffinity::new(build)?),
        "DefaultPreemption" => Arc::new(default_preemption::DefaultPreemption::new(build)?),
        "VolumeRestrictions" => Arc::new(volume_restrictions::VolumeRestrictions),
        "NodeVolumeLimits" => Arc::new(node_volume_limits::NodeVolumeLimits),
        "VolumeBinding" => Arc::new(volume_binding::VolumeBinding::new(build)?),
        "VolumeZone" => Arc::new(volume_zone::VolumeZone),
        "NodeDeclaredFeatures" => Arc::new(node_declared_features::NodeDeclaredFeatures::new(build)),
        "ImageLocality" => Arc::new(image_locality::ImageLocality),
        "DefaultBinder" => Arc::new(default_binder::DefaultBinder),
        "DynamicResources" => Arc::new(dynamic_resources::DynamicResources::new(build)?),
        _ => return Ok(None),
    }))
}

/// Checks a curve: utilizations from 0 to 100 that grow, scores from 0 to 10.
fn check_shape(plugin: &str, shape: &[ShapePoint]) -> Result<(), ArgsError> {
    let problem = if shape.is_empty() {
        "shape needs at least one point"
    } else if shape.windows(2).any(|pair| pair[0].utilization >= pair[1].utilization) {
        "utilization values of shape must grow from point to point"
    } else if shape
        .iter()
        .any(|point| !(0..=100).contains(&point.utilization) || !(0..=10).contains(&point.score))
    {
        "utilization must be between 0 and 100 and score between 0 and 10"
    } else {
        return Ok(());
    };
    Err(ArgsError::Value { plugin: plugin.to_owned(), problem: problem.to_owned() })
}

/// The score at a utilization, linear between the points of a curve, which is checked and not empty.
fn on_curve(shape: &[ShapePoint], utilization: i64) -> i64 {
    let scaled = |point: &ShapePoint| point.score * MAX_SCORE / 10;
    let Some(at) = shape.iter().position(|point| utilization <= point.utilization) else {
        return shape.last().map_or(0, scaled);
    };
    let right = &shape[at];
    let Some(left) = at.checked_sub(1).map(|at| &shape[at]) else { return scaled(right) };
    let rise = scaled(right) - scaled(left);
    scaled(left) + rise * (utilization - left.utilization) / (right.utilization - left.utilization)
}
