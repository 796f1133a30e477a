//! From a container's volumeMounts to CRI mounts.

use api_types::k8s::api::core::v1::{Container, Pod, VolumeMount};

use super::{Error, Mounted, sub_path};
use crate::cri::v1::{Mount, MountPropagation};
use crate::paths::Paths;
use crate::pod::{PodExt, expand};

/// Mounts of a container's volumes. `env` is its environment, for subPathExpr.
pub fn container_mounts(
    paths: &Paths,
    pod: &Pod,
    container: &Container,
    mounted: &Mounted,
    env: &[(String, String)],
) -> Result<Vec<Mount>, Error> {
    if let Some(device) = container.volume_devices.iter().flatten().next() {
        return Err(Error::Unsupported { volume: device.name.clone(), kind: "volumeMode Block".into() });
    }
    let wanted = container.volume_mounts.iter().flatten().enumerate();
    wanted.map(|(index, mount)| one(paths, pod, container, mounted, env, index, mount)).collect()
}

fn one(
    paths: &Paths,
    pod: &Pod,
    container: &Container,
    mounted: &Mounted,
    env: &[(String, String)],
    index: usize,
    mount: &VolumeMount,
) -> Result<Mount, Error> {
    let location = mounted
        .get(&mount.name)
        .ok_or_else(|| Error::Unknown { container: container.name.clone(), volume: mount.name.clone() })?;
    let lookup = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let sub = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(expression), _) if !expression.is_empty() => {
            match expand::expand_tracking(expression, lookup) {
                (path, unknown) if unknown.is_empty() => Some(path),
                (path, _) => return Err(Error::BadPath { path }),
            }
        }
        (_, Some(path)) if !path.is_empty() => Some(path.clone()),
        _ => None,
    };
    let host_path = match sub {
        Some(sub) => {
            let target = paths.sub_path(pod.uid(), &mount.name, &container.name, index);
            sub_path::bind(&location.path, &sub, &target)?
        }
        None => location.path.clone(),
    };
    let mut container_path = mount.mount_path.clone();
    if !container_path.starts_with('/') {
        container_path.insert(0, '/');
    }
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    Ok(Mount {
        container_path,
        host_path: host_path.display().to_string(),
        readonly: mount.read_only == Some(true) || location.read_only,
        propagation: propagation as i32,
        ..Default::default()
    })
}
