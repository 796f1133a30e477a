//! A pod's volumes: made before its first container, kept up to date while it runs, removed after its last.
//!
//! ```text
//!  spec.volumes ──► set_up ──► Mounted (volume name → path on the node) ──► mounts (container → CRI mounts)
//!                     ▲ again on every change of a ConfigMap, Secret, label or token
//!  tear_down: unmount everything below the pod's directory, then delete the directory
//! ```
//!
//! Network and CSI volumes are not served: a pod that uses one gets an event that names the volume and its type.

pub mod atomic;
mod empty_dir;
mod files;
mod host_path;
pub mod mount_table;
mod mounts;
mod ownership;
mod persistent;
mod sub_path;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, Volume};

use crate::api::{self, Objects};
use crate::paths::Paths;
use crate::pod::{PodExt, fields};

pub use mounts::container_mounts;

/// Where each volume of a pod is on the node.
#[derive(Debug, Clone, Default)]
pub struct Mounted {
    volumes: HashMap<String, Location>,
}

/// One volume on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// File or directory.
    pub path: PathBuf,
    /// Whether containers may only read it.
    pub read_only: bool,
}

/// Why a volume is not there. Shown to users in FailedMount events.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A volume type that this kubelet does not have.
    #[error(
        "volume {volume:?} has type {kind}, which this kubelet does not support; use emptyDir, hostPath, configMap, secret, downwardAPI, projected, or a persistentVolumeClaim bound to a hostPath or local volume"
    )]
    Unsupported {
        /// The volume.
        volume: String,
        /// Its type.
        kind: String,
    },
    /// A mount of a volume that the pod does not have.
    #[error("container {container:?} mounts volume {volume:?}, which the pod does not have")]
    Unknown {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
    },
    /// A file operation failed.
    #[error("{attempt} {}: {source}", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A path that leaves the volume.
    #[error("path {path:?} is not inside the volume; use a relative path without \"..\"")]
    BadPath {
        /// As given.
        path: String,
    },
    /// hostPath.type does not fit what is there.
    #[error("hostPath type check failed: {path} is not a {kind}")]
    HostPath {
        /// On the node.
        path: String,
        /// What it should be.
        kind: &'static str,
    },
    /// An object that the volume refers to does not exist.
    #[error("{kind} \"{name}\" not found")]
    Missing {
        /// configmap, secret, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key that the volume refers to does not exist.
    #[error("references non-existent {kind} key: {key}")]
    MissingKey {
        /// config or secret.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A claim is not bound.
    #[error("persistentvolumeclaim \"{0}\" is not bound to a volume")]
    Unbound(String),
    /// A field reference is wrong.
    #[error(transparent)]
    Field(#[from] fields::Error),
    /// The API did not answer.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// Any of the above, with the volume it happened to.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {source}")]
    SetUp {
        /// The volume.
        volume: String,
        /// What happened.
        source: Box<Error>,
    },
}

impl Error {
    fn io(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { attempt, path, source }
    }
}

/// Makes and removes volumes.
#[derive(Clone)]
pub struct Volumes {
    paths: Arc<Paths>,
    objects: Arc<dyn Objects>,
}

impl Volumes {
    /// Volumes below `paths`, with contents from `objects`.
    pub fn new(paths: Arc<Paths>, objects: Arc<dyn Objects>) -> Self {
        Self { paths, objects }
    }

    /// Makes all volumes of a pod, or brings them up to date.
    pub async fn set_up(&self, pod: &Pod, runtime: &fields::Runtime) -> Result<Mounted, Error> {
        let mut mounted = Mounted::default();
        for volume in pod.spec().volumes.iter().flatten() {
            let location = self
                .set_up_one(pod, volume, runtime)
                .await
                .map_err(|error| Error::SetUp { volume: volume.name.clone(), source: Box::new(error) })?;
            mounted.volumes.insert(volume.name.clone(), location);
        }
        Ok(mounted)
    }

    /// Unmounts and deletes everything that the pod had on the node beside its logs.
    pub fn tear_down(&self, uid: &str) -> Result<(), Error> {
        let directory = self.paths.pod(uid);
        mount_table::unmount_below(&directory)?;
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &directory)(error))
            }
            _ => Ok(()),
        }
    }

    /// UIDs of pods that have a directory.
    pub fn existing_pods(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.paths.pods()).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    async fn set_up_one(
        &self,
        pod: &Pod,
        volume: &Volume,
        runtime: &fields::Runtime,
    ) -> Result<Location, Error> {
        let own = |plugin: &str| self.paths.volume(pod.uid(), plugin, &volume.name);
        let gid = ownership::fs_group(pod);
        if let Some(source) = &volume.empty_dir {
            let path = own("empty-dir");
            empty_dir::set_up(&path, source, gid)?;
            return Ok(Location { path, read_only: false });
        }
        if let Some(source) = &volume.host_path {
            let path = host_path::set_up(&source.path, source.type_.as_deref().unwrap_or_default())?;
            return Ok(Location { path, read_only: false });
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return persistent::set_up(self.objects.as_ref(), pod, claim, gid).await;
        }
        let plugin = if volume.config_map.is_some() {
            "configmap"
        } else if volume.secret.is_some() {
            "secret"
        } else if volume.downward_api.is_some() {
            "downward-api"
        } else if volume.projected.is_some() {
            "projected"
        } else {
            return Err(Error::Unsupported { volume: volume.name.clone(), kind: kind_of(volume) });
        };
        let payload = files::payload(self.objects.as_ref(), pod, volume, runtime).await?;
        let path = own(plugin);
        // Contents that nobody should find on the disk later are kept in memory.
        if plugin == "configmap" {
            std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        } else {
            empty_dir::tmpfs(&path, None)?;
        }
        if atomic::write(&path, &payload, gid)? {
            tracing::debug!(pod = pod.display(), volume = volume.name, "Volume contents written");
        }
        Ok(Location { path, read_only: true })
    }
}

impl Mounted {
    /// A volume's place.
    pub fn get(&self, volume: &str) -> Option<&Location> {
        self.volumes.get(volume)
    }
}

/// The name of the source field that a volume sets.
fn kind_of(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
    keys.filter(|key| *key != "name").map(String::as_str).next().unwrap_or("none").to_owned()
}

#[cfg(test)]
mod tests;
