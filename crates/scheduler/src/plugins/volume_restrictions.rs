//! VolumeRestrictions: disks that cannot be used twice at once, and claims for one pod only (KEP-2485).

use std::sync::Arc;

use api_types::k8s::api::core::v1::Volume;

use super::volumes;
use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{
    CycleState, Event, Filter, Plugin, PreFilter, PreFiltered, Rejection, Snapshot, Verdict,
};

/// The plugin.
pub struct VolumeRestrictions;

/// Claims of the pod that are for one pod only, and how many others use them now.
#[derive(Clone, Default)]
struct Exclusive {
    claims: Vec<Arc<str>>,
    users: usize,
}

impl Exclusive {
    fn change(&mut self, pod: &PodInfo, other: &PodInfo, apply: impl Fn(usize, usize) -> usize) {
        if pod.namespace == other.namespace {
            let uses = other.claims.iter().filter(|(name, _)| self.claims.contains(name)).count();
            self.users = apply(self.users, uses);
        }
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::PodRemoved(removed) => {
                let shares =
                    |(name, _): &(Arc<str>, bool)| removed.claims.iter().any(|(other, _)| other == name);
                (pod.namespace == removed.namespace && pod.claims.iter().any(shares)) || collide(pod, removed)
            }
            Event::Claim(claim) => volumes::uses(pod, claim),
            Event::NodeAdded(_) => true,
            _ => false,
        }
    }
}

impl PreFilter for VolumeRestrictions {
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        let mut exclusive = Exclusive::default();
        for (name, ephemeral) in &pod.claims {
            if *ephemeral {
                continue;
            }
            let claim = volumes::claim(snapshot.objects, &pod.namespace, name)?;
            let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
            if modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod")) {
                exclusive.users += snapshot.cache.claim_users(&pod.namespace, name);
                exclusive.claims.push(Arc::clone(name));
            }
        }
        let inline = pod.spec().volumes.iter().flatten().any(is_single);
        if exclusive.claims.is_empty() && !inline {
            return Ok(PreFiltered::Skip);
        }
        state.put(exclusive);
        Ok(PreFiltered::Look)
    }

    fn add_pod(
        &self,
        _: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        added: &PodInfo,
        _: &NodeInfo,
    ) {
        if let Some(exclusive) = state.get_mut::<Exclusive>() {
            exclusive.change(pod, added, |users, more| users + more);
        }
    }

    fn remove_pod(
        &self,
        _: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        _: &NodeInfo,
    ) {
        if let Some(exclusive) = state.get_mut::<Exclusive>() {
            exclusive.change(pod, removed, usize::saturating_sub);
        }
    }
}

impl Filter for VolumeRestrictions {
    fn filter(&self, _: &Snapshot<'_>, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if node.pods.iter().any(|other| collide(pod, other)) {
            return Err(Rejection::unschedulable("node(s) had no available disk"));
        }
        if state.get::<Exclusive>().is_some_and(|exclusive| exclusive.users > 0) {
            return Err(Rejection::unschedulable(
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
            ));
        }
        Ok(())
    }
}

fn collide(pod: &PodInfo, other: &PodInfo) -> bool {
    let volumes = || pod.spec().volumes.iter().flatten().filter(|volume| is_single(volume));
    volumes().any(|volume| other.spec().volumes.iter().flatten().any(|present| conflict(volume, present)))
}

/// Whether a volume is a disk that only one pod may write.
fn is_single(volume: &Volume) -> bool {
    volume.gce_persistent_disk.is_some()
        || volume.aws_elastic_block_store.is_some()
        || volume.rbd.is_some()
        || volume.iscsi.is_some()
}

fn conflict(a: &Volume, b: &Volume) -> bool {
    let writes = |a: Option<bool>, b: Option<bool>| !(a == Some(true) && b == Some(true));
    if let (Some(a), Some(b)) = (&a.gce_persistent_disk, &b.gce_persistent_disk)
        && a.pd_name == b.pd_name
        && writes(a.read_only, b.read_only)
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&a.aws_elastic_block_store, &b.aws_elastic_block_store)
        && a.volume_id == b.volume_id
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&a.iscsi, &b.iscsi)
        && a.iqn == b.iqn
        && writes(a.read_only, b.read_only)
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&a.rbd, &b.rbd) {
        let pool = |pool: &Option<String>| pool.clone().unwrap_or_else(|| "rbd".to_owned());
        return a.monitors.iter().any(|monitor| b.monitors.contains(monitor))
            && pool(&a.pool) == pool(&b.pool)
            && a.image == b.image
            && writes(a.read_only, b.read_only);
    }
    false
}
