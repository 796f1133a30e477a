//! VolumeBinding: a pod goes where its volumes are, or where volumes for its claims can be had; those are bound before
//! the pod is (KEP-490, KEP-1472).

mod bind;
mod find;
mod matching;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::PersistentVolumeClaim;
use client::kube::ResourceExt;
use client::{Client, Key};
use parking_lot::Mutex;

use super::{Build, volumes};
use crate::cache::{NodeInfo, PodInfo, Slot};
use crate::config::{ArgsError, VolumeBindingArgs};
use crate::framework::{
    CycleState, Event, Filter, Objects, Plugin, PreBind, PreFilter, PreFiltered, Rejection, Reserve,
    Snapshot, Verdict,
};
use find::Plan;

/// The plugin.
pub struct VolumeBinding {
    timeout: Duration,
    objects: Objects,
    /// Choices that the server does not show yet.
    assumed: Mutex<Assumed>,
}

/// Volumes and claims that pods on their way to a node count on.
#[derive(Debug, Default)]
pub(super) struct Assumed {
    /// Claim that will get the volume, by name of the volume.
    volumes: HashMap<String, Key>,
    /// Node that a volume will be made for, and how many pods count on it, by claim.
    nodes: HashMap<Key, (Arc<str>, usize)>,
}

/// The claims of a pod, by what there is to do about them.
#[derive(Clone, Debug, Default)]
struct Claims {
    /// Bound.
    bound: Vec<Arc<PersistentVolumeClaim>>,
    /// To be bound or made for the node that is chosen.
    waiting: Vec<Arc<PersistentVolumeClaim>>,
}

/// What was planned for the node that was chosen.
#[derive(Clone, Debug)]
struct Chosen {
    plan: Plan,
    node: Arc<str>,
}

/// Plans by node, computed by Filter and used by Reserve.
#[derive(Clone, Default)]
struct Plans(Arc<Mutex<HashMap<Slot, Plan>>>);

impl VolumeBinding {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read or are not served.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        let args: VolumeBindingArgs = build.args.of("VolumeBinding")?;
        if args.shape.is_some() {
            return Err(ArgsError::Value {
                plugin: "VolumeBinding".to_owned(),
                problem: "shape needs scoring by storage capacity, which is not served; remove it".to_owned(),
            });
        }
        Ok(Self {
            timeout: Duration::from_secs(args.bind_timeout_seconds),
            objects: build.objects.clone(),
            assumed: Mutex::default(),
        })
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        Some(self)
    }
    fn reserve(self: Arc<Self>) -> Option<Arc<dyn Reserve>> {
        Some(self)
    }
    fn pre_bind(self: Arc<Self>) -> Option<Arc<dyn PreBind>> {
        Some(self)
    }
    fn hint(&self, _: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        match event {
            Event::Claim(claim) => volumes::uses(pod, claim),
            Event::Volume(_)
            | Event::StorageClass
            | Event::CsiNode
            | Event::CsiDriver
            | Event::Capacity
            | Event::NodeAdded(_)
            | Event::NodeChanged { .. } => true,
            _ => false,
        }
    }
}

impl PreFilter for VolumeBinding {
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        if pod.claims.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let mut claims = Claims::default();
        let mut unbound = false;
        for (name, ephemeral) in &pod.claims {
            let claim = usable(snapshot.objects, pod, name, *ephemeral)?;
            let bound = !volumes::volume_of(&claim).is_empty();
            if bound && claim.annotations().contains_key(volumes::BIND_COMPLETED) {
                claims.bound.push(claim);
            } else if !bound
                && volumes::class(snapshot.objects, &claim)
                    .is_some_and(|class| volumes::waits_for_pod(&class))
            {
                claims.waiting.push(claim);
            } else {
                unbound = true;
            }
        }
        if unbound {
            return Err(Rejection::unresolvable("pod has unbound immediate PersistentVolumeClaims"));
        }
        state.put(claims);
        state.put(Plans::default());
        Ok(PreFiltered::Look)
    }
}

/// A claim of the pod that is there to stay.
fn usable(
    objects: &Objects,
    pod: &PodInfo,
    name: &str,
    ephemeral: bool,
) -> Result<Arc<PersistentVolumeClaim>, Rejection> {
    let Some(claim) = objects.claims.store().find(&pod.namespace, name) else {
        let text = match ephemeral {
            true => format!(
                "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
            ),
            false => format!("persistentvolumeclaim {name:?} not found"),
        };
        return Err(Rejection::unresolvable(text));
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let volume = volumes::volume_of(&claim);
        return Err(Rejection::unresolvable(format!(
            "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
        )));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(Rejection::unresolvable(format!("persistentvolumeclaim {name:?} is being deleted")));
    }
    if ephemeral && !client::owner::is_controlled_by(&claim.metadata, &*pod.pod) {
        return Err(Rejection::unresolvable(format!(
            "PVC {}/{name} was not created for pod {} (pod is not owner)",
            pod.namespace, pod.key
        )));
    }
    Ok(claim)
}

impl Filter for VolumeBinding {
    fn filter(&self, snapshot: &Snapshot<'_>, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(claims) = state.get::<Claims>() else { return Ok(()) };
        let plan = find::find(snapshot.objects, &self.assumed.lock(), claims, node)?;
        if let Some(plans) = state.get::<Plans>() {
            plans.0.lock().insert(node.slot, plan);
        }
        Ok(())
    }
}

impl Reserve for VolumeBinding {
    fn reserve(&self, _: &Snapshot<'_>, state: &mut CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(plan) = state.get::<Plans>().and_then(|plans| plans.0.lock().remove(&node.slot)) else {
            return Ok(());
        };
        if plan.is_empty() {
            return Ok(());
        }
        let mut assumed = self.assumed.lock();
        for (volume, claim) in &plan.bind {
            assumed.volumes.insert(volume.name_any(), Key::of(&**claim));
        }
        for claim in &plan.provision {
            assumed.nodes.entry(Key::of(&**claim)).or_insert_with(|| (Arc::clone(&node.name), 0)).1 += 1;
        }
        state.put(Chosen { plan, node: Arc::clone(&node.name) });
        Ok(())
    }

    fn unreserve(&self, state: &CycleState, _: &PodInfo) {
        self.release(state);
    }
}

impl VolumeBinding {
    /// Forgets what was assumed for a pod: it is bound, or it is not and will be decided anew.
    fn release(&self, state: &CycleState) {
        let Some(Chosen { plan, .. }) = state.get::<Chosen>() else { return };
        let mut assumed = self.assumed.lock();
        for (volume, _) in &plan.bind {
            assumed.volumes.remove(&volume.name_any());
        }
        for claim in &plan.provision {
            let key = Key::of(&**claim);
            if let Some((_, users)) = assumed.nodes.get_mut(&key) {
                *users -= 1;
                if *users == 0 {
                    assumed.nodes.remove(&key);
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl PreBind for VolumeBinding {
    fn needed(&self, state: &CycleState) -> bool {
        state.get::<Chosen>().is_some()
    }

    async fn pre_bind(
        &self,
        client: &Client,
        state: &CycleState,
        pod: &PodInfo,
        _: &str,
    ) -> Result<(), anyhow::Error> {
        let Some(Chosen { plan, node }) = state.get::<Chosen>() else { return Ok(()) };
        let bound = bind::bind(client, &self.objects, plan, node, pod, self.timeout).await;
        // What failed is given back by Unreserve.
        if bound.is_ok() {
            self.release(state);
        }
        bound
    }
}

#[cfg(test)]
mod tests;
