//! ImageLocality: prefers nodes that have the pod's images, the more so the larger and the more widely spread they are.

use std::sync::Arc;

use crate::cache::{NodeInfo, PodInfo};
use crate::framework::{CycleState, MAX_SCORE, Plugin, Score, Snapshot};

const MEGABYTE: i64 = 1024 * 1024;
/// Less than this much present counts as nothing.
const LEAST: i64 = 23 * MEGABYTE;
/// More than this much per container counts as all.
const MOST_PER_CONTAINER: i64 = 1000 * MEGABYTE;

/// The plugin.
pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        Some(self)
    }
}

impl Score for ImageLocality {
    fn score(&self, snapshot: &Snapshot<'_>, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let containers = containers(pod);
        if node.images.is_empty() || containers == 0 {
            return 0;
        }
        let all_nodes = snapshot.cache.order().len() as f64;
        let present = |image: Option<&str>| {
            let (id, image) = snapshot.cache.images().find(&normalized(image?))?;
            // An image on few nodes counts less, so that one node does not draw all pods.
            let spread = image.nodes as f64 / all_nodes;
            node.images.binary_search(&id).is_ok().then_some((image.size as f64 * spread) as i64)
        };
        let spec = pod.spec();
        let images = spec.init_containers.iter().flatten().chain(&spec.containers);
        let volumes =
            spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref()?.reference.as_deref());
        let sum: i64 = images
            .map(|container| container.image.as_deref())
            .chain(volumes.map(Some))
            .filter_map(present)
            .sum();
        let most = MOST_PER_CONTAINER * containers;
        MAX_SCORE * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST)
    }
}

fn containers(pod: &PodInfo) -> i64 {
    let spec = pod.spec();
    let volumes = spec.volumes.iter().flatten().filter(|volume| volume.image.is_some()).count();
    (spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len) + volumes) as i64
}

/// The name under which nodes list an image: with a tag.
fn normalized(name: &str) -> String {
    let tagged = match (name.rfind(':'), name.rfind('/')) {
        (Some(colon), Some(slash)) => colon > slash,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if tagged { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn names_get_a_tag() {
        assert_eq!(normalized("r:5000/a"), "r:5000/a:latest");
        assert_eq!(normalized("a:1"), "a:1");
        assert_eq!(normalized("a@sha256:00"), "a@sha256:00");
    }
}
