//! What happens in the cluster that may make a waiting pod schedulable.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use api_types::k8s::api::resource::v1::ResourceClaim;

use crate::cache::{NodeInfo, PodInfo};

/// A change, as plugins look at it to say whether a pod they rejected is worth another try.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The waiting pod itself changed.
    Updated {
        /// Before.
        old: &'a PodInfo,
        /// After.
        new: &'a PodInfo,
    },
    /// Another pod got a node.
    PodAdded(&'a PodInfo),
    /// Another pod with a node changed its labels, resources or the like.
    PodChanged {
        /// Before.
        old: &'a PodInfo,
        /// After.
        new: &'a PodInfo,
    },
    /// Another pod left its node: deleted, ended, or its binding failed.
    PodRemoved(&'a PodInfo),
    /// A node appeared.
    NodeAdded(&'a NodeInfo),
    /// A node changed in something that scheduling looks at.
    NodeChanged {
        /// Before.
        old: Arc<Node>,
        /// After.
        new: &'a NodeInfo,
    },
    /// A node is gone.
    NodeRemoved,
    /// A claim of a volume appeared or changed.
    Claim(&'a PersistentVolumeClaim),
    /// A volume appeared or changed.
    Volume(&'a PersistentVolume),
    /// A class of volumes appeared or changed.
    StorageClass,
    /// The volume limits of a node appeared or changed.
    CsiNode,
    /// A volume driver appeared or changed.
    CsiDriver,
    /// Free storage changed.
    Capacity,
    /// A claim of devices appeared, changed or went.
    ResourceClaim(&'a ResourceClaim),
    /// Devices appeared, changed or went.
    Slice,
    /// A class of devices appeared or changed.
    DeviceClass,
    /// A namespace got other labels.
    Namespace,
}

impl Event<'_> {
    /// Upstream's label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Updated { .. } => "PodUpdate",
            Self::PodAdded(_) => "AssignedPodAdd",
            Self::PodChanged { .. } => "AssignedPodUpdate",
            Self::PodRemoved(_) => "AssignedPodDelete",
            Self::NodeAdded(_) => "NodeAdd",
            Self::NodeChanged { .. } => "NodeUpdate",
            Self::NodeRemoved => "NodeDelete",
            Self::Claim(_) => "PersistentVolumeClaimUpdate",
            Self::Volume(_) => "PersistentVolumeUpdate",
            Self::StorageClass => "StorageClassUpdate",
            Self::CsiNode => "CSINodeUpdate",
            Self::CsiDriver => "CSIDriverUpdate",
            Self::Capacity => "CSIStorageCapacityUpdate",
            Self::ResourceClaim(_) => "ResourceClaimUpdate",
            Self::Slice => "ResourceSliceUpdate",
            Self::DeviceClass => "DeviceClassUpdate",
            Self::Namespace => "NamespaceUpdate",
        }
    }
}
