//! NodeVolumeLimits: no more volumes of a driver on a node than it can attach.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::volumes;
use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{
    CycleState, Event, Filter, Objects, Plugin, PreFilter, PreFiltered, Rejection, Snapshot, Verdict,
};

/// The plugin.
pub struct NodeVolumeLimits;

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::PodRemoved(removed) => !removed.claims.is_empty(),
            Event::Claim(claim) => volumes::uses(pod, claim),
            Event::CsiNode | Event::NodeAdded(_) => true,
            _ => false,
        }
    }
}

impl PreFilter for NodeVolumeLimits {
    fn pre_filter(
        &self,
        _: &Snapshot<'_>,
        _: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        Ok(if pod.claims.is_empty() { PreFiltered::Skip } else { PreFiltered::Look })
    }
}

impl Filter for NodeVolumeLimits {
    fn filter(&self, snapshot: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let objects = snapshot.objects;
        let Some(csi_node) = objects.csi_nodes.store().find("", &node.name) else { return Ok(()) };
        let limits: HashMap<&str, i32> = csi_node
            .spec
            .drivers
            .iter()
            .filter_map(|driver| Some((driver.name.as_str(), driver.allocatable.as_ref()?.count?)))
            .collect();
        if limits.is_empty() {
            return Ok(());
        }
        let mut wanted = HashSet::new();
        collect(objects, pod, &mut wanted);
        wanted.retain(|(driver, _)| limits.contains_key(driver.as_str()));
        if wanted.is_empty() {
            return Ok(());
        }
        let mut present = HashSet::new();
        for other in &node.pods {
            collect(objects, other, &mut present);
        }
        let mut more: HashMap<&str, i32> = HashMap::new();
        for (driver, _) in wanted.iter().filter(|volume| !present.contains(*volume)) {
            *more.entry(driver.as_str()).or_default() += 1;
        }
        for (driver, more) in more {
            let used = present.iter().filter(|(other, _)| other == driver).count();
            if used as i64 + i64::from(more) > i64::from(limits[driver]) {
                return Err(Rejection::unschedulable("node(s) exceed max volume count"));
            }
        }
        Ok(())
    }
}

/// The volumes of a pod as driver and what identifies them: the handle, or the claim until there is one.
fn collect(objects: &Objects, pod: &PodInfo, into: &mut HashSet<(String, String)>) {
    for (name, _) in &pod.claims {
        let Some(claim) = objects.claims.store().find(&pod.namespace, name) else { continue };
        let volume = objects.volumes.store().find("", volumes::volume_of(&claim));
        match volume {
            Some(volume) => {
                let source = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
                into.extend(source.map(|source| (source.driver.clone(), source.volume_handle.clone())));
            }
            None => {
                let class = volumes::class(objects, &claim);
                into.extend(
                    class.map(|class| (class.provisioner.clone(), format!("{}/{name}", pod.namespace))),
                );
            }
        }
    }
}
