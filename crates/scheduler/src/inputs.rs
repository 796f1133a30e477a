//! The changes that the scheduler reacts to, from all informers.

use api_types::k8s::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use api_types::k8s::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use api_types::k8s::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use client::{Change, Informers, Subscription};

use crate::framework::Objects;

macro_rules! inputs {
    ($($field:ident: $variant:ident($kind:ty),)*) => {
        /// One change.
        #[derive(Debug)]
        pub enum Input { $(
            #[allow(missing_docs, reason = "named as the kind")]
            $variant(Change<$kind>),
        )* }

        /// Subscriptions to everything that matters.
        pub struct Inputs { $($field: Subscription<$kind>,)* }

        impl Inputs {
            /// A change that is there already. Nodes come before pods, so that at the start no pod waits for a node.
            pub fn try_next(&mut self) -> Option<Input> {
                $(if let Some(change) = self.$field.try_next() {
                    return Some(Input::$variant(change));
                })*
                None
            }

            /// Waits for a change. Cancel safe.
            pub async fn next(&mut self) -> Input {
                tokio::select! { $(change = self.$field.next() => Input::$variant(change),)* }
            }
        }
    };
}

inputs! {
    nodes: Node(Node),
    pods: Pod(Pod),
    namespaces: Namespace(Namespace),
    claims: Claim(PersistentVolumeClaim),
    volumes: Volume(PersistentVolume),
    storage_classes: StorageClass(StorageClass),
    csi_nodes: CsiNode(CSINode),
    csi_drivers: CsiDriver(CSIDriver),
    capacities: Capacity(CSIStorageCapacity),
    resource_claims: ResourceClaim(ResourceClaim),
    slices: Slice(ResourceSlice),
    device_classes: DeviceClass(DeviceClass),
}

impl Inputs {
    /// Subscribes.
    pub fn new(informers: &Informers, objects: &Objects) -> Self {
        Self {
            nodes: informers.all::<Node>().subscribe(),
            pods: informers.all::<Pod>().subscribe(),
            namespaces: objects.namespaces.subscribe(),
            claims: objects.claims.subscribe(),
            volumes: objects.volumes.subscribe(),
            storage_classes: objects.storage_classes.subscribe(),
            csi_nodes: objects.csi_nodes.subscribe(),
            csi_drivers: objects.csi_drivers.subscribe(),
            capacities: objects.capacities.subscribe(),
            resource_claims: objects.resource_claims.subscribe(),
            slices: objects.slices.subscribe(),
            device_classes: objects.device_classes.subscribe(),
        }
    }
}
