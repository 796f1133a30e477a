//! `persistentvolume-expander-controller`: notices claims that ask for more than their volume has.
//!
//! No volume type is expanded in this process; CSI drivers bring a resizer of their own. All that is left to do here is to
//! tell the user who is waited for.

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::quantity::Quantity;
use api_types::volumes;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind, Recorder};
use client::{Change, Informer, Key, Writes};

use crate::context::Context;

const WAITING: &str = "waiting for an external controller to expand this PVC";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let volumes = context.informers.all::<PersistentVolume>();
    let expander = Expander {
        claims: claims.clone(),
        volumes: volumes.clone(),
        recorder: context.recorder("volume_expand"),
    };
    Controller::new("volume_expand", expander, context.shutdown)
        .watch(&claims, grown)
        .after(&volumes)
        .run(1)
        .await;
    Ok(())
}

/// A claim that was bound already and asks for more than before.
fn grown(change: &Change<PersistentVolumeClaim>) -> Vec<Key> {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return Vec::new() };
    let more = !volumes::volume_of(old).is_empty() && volumes::request(new) > volumes::request(old);
    if more { vec![change.key.clone()] } else { Vec::new() }
}

struct Expander {
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Expander {
    type Key = Key;

    async fn reconcile(&self, key: &Key, _: &Writes) -> Result<Next, anyhow::Error> {
        let Some(claim) = self.claims.store().get(key) else { return Ok(Next::Wait) };
        let volume = self.volumes.store().find("", volumes::volume_of(&claim));
        let bound = volume.is_some_and(|volume| volumes::is_reserved_for(&volume, &claim));
        if bound && volumes::request(&claim) > size(&claim) {
            self.recorder.event(&*claim, Kind::Normal, "ExternalExpanding", WAITING);
        }
        Ok(Next::Wait)
    }
}

/// What the claim has.
fn size(claim: &PersistentVolumeClaim) -> Quantity {
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage"));
    capacity.and_then(|capacity| Quantity::parse(&capacity.0).ok()).unwrap_or(Quantity::ZERO)
}
