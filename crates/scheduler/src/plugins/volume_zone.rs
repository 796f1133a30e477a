//! VolumeZone: pods go to the zone of the volumes that they use already.

use std::sync::Arc;

use super::volumes;
use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{
    CycleState, Event, Filter, Plugin, PreFilter, PreFiltered, Rejection, Snapshot, Verdict,
};

/// Node labels that volumes carry too, with their old names.
const LABELS: [(&str, &str); 4] = [
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// The plugin.
pub struct VolumeZone;

/// Labels that a node must have, each with one of some values.
#[derive(Clone)]
struct Zones(Vec<(&'static str, Vec<String>)>);

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::Claim(claim) => volumes::uses(pod, claim),
            Event::NodeAdded(_) | Event::NodeChanged { .. } | Event::Volume(_) | Event::StorageClass => true,
            _ => false,
        }
    }
}

impl PreFilter for VolumeZone {
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        let mut zones = Vec::new();
        for (name, _) in pod.claims.iter().filter(|(_, ephemeral)| !ephemeral) {
            let claim = volumes::claim(snapshot.objects, &pod.namespace, name)?;
            let volume = volumes::volume_of(&claim);
            if volume.is_empty() {
                unbound(snapshot, &claim)?;
                continue;
            }
            let volume = volumes::volume(snapshot.objects, volume)?;
            for (label, node_label) in LABELS {
                if let Some(values) = volume.metadata.labels.as_ref().and_then(|labels| labels.get(label)) {
                    zones.push((node_label, values.split("__").map(str::to_owned).collect()));
                }
            }
        }
        if zones.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        state.put(Zones(zones));
        Ok(PreFiltered::Look)
    }
}

/// A claim without a volume is fine when its class waits for the pod.
fn unbound(
    snapshot: &Snapshot<'_>,
    claim: &api_types::k8s::api::core::v1::PersistentVolumeClaim,
) -> Result<(), Rejection> {
    let name = volumes::class_of_claim(claim);
    if name.is_empty() {
        return Err(Rejection::unresolvable("PersistentVolumeClaim had no pv name and storageClass name"));
    }
    let Some(class) = volumes::class(snapshot.objects, claim) else {
        return Err(Rejection::unresolvable(format!("storageclass.storage.k8s.io {name:?} not found")));
    };
    match class.volume_binding_mode {
        None => Err(Rejection::unresolvable(format!("VolumeBindingMode not set for StorageClass {name:?}"))),
        Some(_) if volumes::waits_for_pod(&class) => Ok(()),
        Some(_) => Err(Rejection::unresolvable("PersistentVolume had no name")),
    }
}

impl Filter for VolumeZone {
    fn filter(&self, _: &Snapshot<'_>, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(Zones(zones)) = state.get() else { return Ok(()) };
        let labels = node.labels();
        // A cluster whose nodes know no zones has only one.
        if !LABELS.iter().any(|(label, _)| labels.contains_key(*label)) {
            return Ok(());
        }
        let fits = |(label, values): &(&str, Vec<String>)| {
            labels.get(*label).is_some_and(|own| values.contains(own))
        };
        if zones.iter().all(fits) {
            return Ok(());
        }
        Err(Rejection::unresolvable("node(s) had no available volume zone"))
    }
}
