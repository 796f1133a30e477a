//! The objects beside nodes and pods that plugins look at.

use api_types::k8s::api::apps::v1::{ReplicaSet, StatefulSet};
use api_types::k8s::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use api_types::k8s::api::policy::v1::PodDisruptionBudget;
use api_types::k8s::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use api_types::k8s::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use client::{Informer, Informers};

use crate::cache::Labels;

macro_rules! objects {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// Mirrors of what the server has. Cheap to clone.
        #[derive(Clone)]
        pub struct Objects { $($(#[$doc])* pub $field: Informer<$kind>,)* }

        impl Objects {
            /// Mirrors that follow the server.
            pub fn new(informers: &Informers) -> Self {
                Self { $($field: informers.all(),)* }
            }

            /// Mirrors that follow nothing; tests fill them.
            pub fn detached() -> Self {
                Self { $($field: Informer::detached(()),)* }
            }
        }
    };
}

objects! {
    /// Namespaces, for their labels.
    namespaces: Namespace,
    /// Services, for default spreading.
    services: Service,
    /// Replication controllers, for default spreading.
    replication_controllers: ReplicationController,
    /// Replica sets, for default spreading.
    replica_sets: ReplicaSet,
    /// Stateful sets, for default spreading.
    stateful_sets: StatefulSet,
    /// Disruption budgets, for preemption.
    budgets: PodDisruptionBudget,
    /// Claims of volumes.
    claims: PersistentVolumeClaim,
    /// Volumes.
    volumes: PersistentVolume,
    /// Classes of volumes.
    storage_classes: StorageClass,
    /// Volume limits of nodes.
    csi_nodes: CSINode,
    /// Volume drivers.
    csi_drivers: CSIDriver,
    /// Free storage.
    capacities: CSIStorageCapacity,
    /// Claims of devices.
    resource_claims: ResourceClaim,
    /// Devices.
    slices: ResourceSlice,
    /// Classes of devices.
    device_classes: DeviceClass,
}

impl Objects {
    /// The labels of a namespace; none when it is not known.
    pub fn namespace_labels(&self, name: &str) -> Labels {
        let namespace = self.namespaces.store().find("", name);
        namespace.and_then(|namespace| namespace.metadata.labels.clone()).unwrap_or_default()
    }
}

/// Leaves out of mirrored objects what no decision reads: it is most of their size.
pub fn trim(informers: &Informers) {
    informers.transform::<Pod>(trim_pod);
    informers.transform::<Node>(|node| {
        node.metadata.annotations = None;
        if let Some(status) = &mut node.status {
            status.node_info = None;
            status.capacity = None;
            status.addresses = None;
            status.volumes_in_use = None;
            status.volumes_attached = None;
        }
    });
    informers.transform::<ReplicaSet>(|set| {
        if let Some(spec) = &mut set.spec {
            spec.template = None;
        }
        set.status = None;
        set.metadata.annotations = None;
    });
    informers.transform::<ReplicationController>(|controller| {
        if let Some(spec) = &mut controller.spec {
            spec.template = None;
        }
        controller.status = None;
    });
    informers.transform::<StatefulSet>(|set| {
        if let Some(spec) = &mut set.spec {
            spec.template = Default::default();
            spec.volume_claim_templates = None;
        }
        set.status = None;
    });
}

fn trim_pod(pod: &mut Pod) {
    pod.metadata.annotations = None;
    let Some(spec) = &mut pod.spec else { return };
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        container.env = None;
        container.env_from = None;
        container.command = None;
        container.args = None;
        container.lifecycle = None;
        container.liveness_probe = None;
        container.readiness_probe = None;
        container.startup_probe = None;
        container.security_context = None;
        container.volume_mounts = None;
    }
    spec.ephemeral_containers = None;
    spec.security_context = None;
    spec.dns_config = None;
    spec.host_aliases = None;
    spec.image_pull_secrets = None;
}
