//! Writes what was decided into the claims.

use std::collections::HashSet;

use api_types::k8s::api::core::v1::{ContainerExtendedResourceRequest, Pod};
use api_types::k8s::api::resource::v1::{
    AllocationResult, DeviceClaim, ResourceClaim, ResourceClaimConsumerReference, ResourceClaimSpec,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use client::kube::ResourceExt;
use client::{Client, ErrorExt, Key, Patch, Writer, Writes};
use serde_json::json;

use super::claims::{self, Wanted};
use crate::cache::PodInfo;
use crate::framework::Objects;

/// Keeps a claim with devices from being deleted.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// Marks the claim that is made for extended resources.
const EXTENDED: &str = "resource.kubernetes.io/extended-resource-claim";
/// Attempts against other writers of a claim.
const ATTEMPTS: usize = 5;

/// Writes claims for one pod.
pub struct ClaimWriter<'a> {
    claims: Writer<ResourceClaim>,
    pods: Writer<Pod>,
    pod: &'a PodInfo,
    writes: Writes,
}

impl<'a> ClaimWriter<'a> {
    /// For a pod.
    pub fn new(client: &Client, objects: &Objects, pod: &'a PodInfo) -> Self {
        Self {
            claims: Writer::new(client, &objects.resource_claims),
            pods: Writer::blind(client, ()),
            pod,
            writes: Writes::default(),
        }
    }

    /// Makes the pod a user of the claim, and gives it its devices when they are new; returns when the mirror shows it.
    ///
    /// # Errors
    /// When it cannot be written, or others have allocated meanwhile.
    pub async fn reserve(
        &self,
        claim: &ResourceClaim,
        allocation: Option<&AllocationResult>,
    ) -> Result<(), anyhow::Error> {
        let key = Key::of(claim);
        for _ in 0..ATTEMPTS {
            let mut now = self.claims.get(&key).await?;
            anyhow::ensure!(now.metadata.uid == claim.metadata.uid, "claim {key} was replaced");
            if allocation.is_some() && !now.finalizers().iter().any(|name| name == FINALIZER) {
                now.finalizers_mut().push(FINALIZER.to_owned());
                match self.claims.update(&self.writes, &now).await {
                    Ok(written) => now = written,
                    Err(error) if error.is_conflict() => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if !self.fill(&mut now, allocation)? {
                return Ok(());
            }
            let writes = Writes::default();
            match self.claims.update_status(&writes, &now).await {
                // The next decision has to count these devices.
                Ok(_) => {
                    writes.visible().await;
                    return Ok(());
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("claim {key} is being changed by others all the time")
    }

    /// Changes the status; `false` when it says so already.
    fn fill(
        &self,
        claim: &mut ResourceClaim,
        allocation: Option<&AllocationResult>,
    ) -> Result<bool, anyhow::Error> {
        let key = Key::of(claim);
        anyhow::ensure!(claims::has_room(claim, self.pod), "claim {key} has as many users as it may have");
        let status = claim.status.get_or_insert_default();
        match (&status.allocation, allocation) {
            (None, Some(allocation)) => {
                let mut allocation = allocation.clone();
                allocation.allocation_timestamp = Some(Time(jiff::Timestamp::now()));
                status.allocation = Some(allocation);
            }
            (Some(_), Some(_)) => anyhow::bail!("claim {key} got devices from somebody else"),
            (None, None) => anyhow::bail!("claim {key} lost its devices"),
            (Some(_), None) => {}
        }
        let users = status.reserved_for.get_or_insert_default();
        let known = users.iter().any(|user| user.uid == *self.pod.uid);
        if !known {
            users.push(ResourceClaimConsumerReference {
                resource: "pods".to_owned(),
                name: self.pod.key.name.to_string(),
                uid: self.pod.uid.to_string(),
                api_group: None,
            });
        }
        Ok(!known || allocation.is_some())
    }

    /// Makes the claim for extended resources, and names it in the pod's status.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn create(
        &self,
        wanted: &Wanted,
        allocation: &AllocationResult,
        mappings: &[ContainerExtendedResourceRequest],
    ) -> Result<(), anyhow::Error> {
        // What the node has by itself was left out.
        let results = allocation.devices.iter().flat_map(|devices| devices.results.iter().flatten());
        let served: HashSet<&str> = results.map(|result| result.request.as_str()).collect();
        let mut requests = claims::specification(wanted);
        requests.retain(|request| served.contains(request.name.as_str()));
        let mappings: Vec<_> =
            mappings.iter().filter(|mapping| served.contains(mapping.request_name.as_str())).collect();
        let claim = ResourceClaim {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-extended-resources-", self.pod.key.name)),
                namespace: Some(self.pod.namespace.to_string()),
                annotations: Some([(EXTENDED.to_owned(), "true".to_owned())].into()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Pod".to_owned(),
                    name: self.pod.key.name.to_string(),
                    uid: self.pod.uid.to_string(),
                    controller: Some(true),
                    block_owner_deletion: Some(true),
                }]),
                ..ObjectMeta::default()
            },
            spec: ResourceClaimSpec {
                devices: Some(DeviceClaim { requests: Some(requests), ..DeviceClaim::default() }),
            },
            status: None,
        };
        let claim = self.claims.create(&self.writes, &claim).await?;
        self.reserve(&claim, Some(allocation)).await?;
        let status = json!({ "status": { "extendedResourceClaimStatus": {
            "resourceClaimName": claim.name_any(),
            "requestMappings": mappings,
        } } });
        self.pods.patch_sub(&self.writes, "status", &self.pod.key, &Patch::Strategic(status)).await?;
        Ok(())
    }
}
