//! Which existing volume suits a claim.

use std::collections::HashSet;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::quantity::Quantity;
use api_types::volumes::{Fit, Search};
use client::Key;

use super::super::volumes;
use super::{Assumed, find};
use crate::cache::NodeInfo;
use crate::framework::Objects;

/// The smallest volume on the node that suits the claim and is not taken; one that was made for the claim goes first.
pub fn smallest(
    objects: &Objects,
    assumed: &Assumed,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
    taken: &HashSet<String>,
) -> Option<Arc<PersistentVolume>> {
    let claim_key = Key::of(claim);
    let search = Search::new(claim);
    let mut best: Option<(Fit, Quantity, Arc<PersistentVolume>)> = None;
    objects.volumes.store().for_each(|key, volume| {
        let promised = assumed.volumes.get(&*key.name).is_some_and(|other| *other != claim_key);
        if promised || taken.contains(&*key.name) || !find::reaches(volume, node) {
            return;
        }
        let Some(fit) = search.fit(volume) else { return };
        let rank = (fit, volumes::capacity(volume));
        if best.as_ref().is_none_or(|(fit, size, _)| rank < (*fit, *size)) {
            best = Some((rank.0, rank.1, Arc::clone(volume)));
        }
    });
    best.map(|(_, _, volume)| volume)
}
