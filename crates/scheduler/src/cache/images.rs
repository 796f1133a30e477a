//! Which images are on how many nodes.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::Node;

/// One image name.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Bytes, as the node that told last says.
    pub size: i64,
    /// How many nodes have it.
    pub nodes: usize,
}

/// Image names as small numbers.
#[derive(Debug, Default)]
pub struct Images {
    ids: HashMap<Arc<str>, u32>,
    images: Vec<Image>,
}

impl Images {
    /// The image's number and state, if any node has ever had it.
    pub fn find(&self, name: &str) -> Option<(u32, &Image)> {
        let id = *self.ids.get(name)?;
        Some((id, self.images.get(id as usize)?))
    }

    /// The sorted numbers of a node's images; counts them as present on one more node.
    pub(super) fn add(&mut self, node: &Node) -> Vec<u32> {
        let listed = node.status.iter().flat_map(|status| status.images.iter().flatten());
        let mut present = Vec::new();
        for image in listed {
            for name in image.names.iter().flatten() {
                let id = self.id(name);
                self.images[id as usize].size = image.size_bytes.unwrap_or(0);
                present.push(id);
            }
        }
        present.sort_unstable();
        present.dedup();
        for id in &present {
            self.images[*id as usize].nodes += 1;
        }
        present
    }

    /// Counts images as present on one node less.
    pub(super) fn remove(&mut self, present: &[u32]) {
        for id in present {
            self.images[*id as usize].nodes -= 1;
        }
    }

    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.images.len()).unwrap_or(u32::MAX);
        self.ids.insert(name.into(), id);
        self.images.push(Image::default());
        id
    }
}
