//! persistentVolumeClaim: claims bound to hostPath and local volumes. Other kinds need drivers that this kubelet does not have.

use std::path::PathBuf;

use api_types::k8s::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod};

use super::{Error, Location, host_path, ownership};
use crate::api::Objects;
use crate::pod::PodExt;

/// Finds the volume behind a claim.
pub async fn set_up(
    objects: &dyn Objects,
    pod: &Pod,
    source: &PersistentVolumeClaimVolumeSource,
    gid: Option<u32>,
) -> Result<Location, Error> {
    let name = &source.claim_name;
    let missing = |kind, name: &str| Error::Missing { kind, name: name.to_owned() };
    let claim = objects.claim(pod.namespace(), name).await?;
    let claim = claim.ok_or_else(|| missing("persistentvolumeclaim", name))?;
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume_name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|_| bound);
    let volume_name = volume_name.ok_or_else(|| Error::Unbound(name.clone()))?;
    let volume = objects.persistent_volume(volume_name).await?;
    let volume = volume.ok_or_else(|| missing("persistentvolume", volume_name))?;
    let spec = volume.spec.unwrap_or_default();
    let read_only = source.read_only == Some(true);
    if let Some(host) = &spec.host_path {
        let path = host_path::set_up(&host.path, host.type_.as_deref().unwrap_or_default())?;
        return Ok(Location { path, read_only });
    }
    if let Some(local) = &spec.local {
        let path = PathBuf::from(&local.path);
        if !path.exists() {
            return Err(Error::HostPath { path: local.path.clone(), kind: "directory" });
        }
        if !read_only {
            ownership::apply(&path, gid, ownership::policy(pod))?;
        }
        return Ok(Location { path, read_only });
    }
    let kind = spec.csi.map_or_else(
        || if spec.nfs.is_some() { "nfs".to_owned() } else { "other than hostPath and local".to_owned() },
        |csi| format!("csi (driver {})", csi.driver),
    );
    Err(Error::Unsupported { volume: volume_name.to_owned(), kind })
}
