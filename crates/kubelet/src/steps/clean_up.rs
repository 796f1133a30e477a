//! Step: remove what an ended pod leaves on the node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cgroup::PodCgroup;
use crate::cri::view::{PodView, State};
use crate::cri::{self, Runtime, v1};
use crate::images::Puller;
use crate::paths::Paths;
use crate::volumes::{self, Volumes};

/// Removes runtime objects, volumes, cgroups and logs. Every part is idempotent.
pub struct CleanUp {
    runtime: Runtime,
    volumes: Volumes,
    cgroup: PodCgroup,
    paths: Arc<Paths>,
    puller: Puller,
}

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A container or sandbox.
    #[error("remove from the runtime: {0}")]
    Runtime(#[from] cri::Error),
    /// Volumes or directories.
    #[error("remove volumes: {0}")]
    Volumes(#[from] volumes::Error),
    /// The cgroup; usually a process is still in it.
    #[error("remove cgroup: {error}")]
    Cgroup {
        /// What happened.
        error: crate::cgroups::Error,
    },
    /// The log directory.
    #[error("remove logs {}: {source}", path.display())]
    Logs {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl CleanUp {
    /// With these tools.
    pub fn new(
        runtime: Runtime,
        volumes: Volumes,
        cgroup: PodCgroup,
        paths: Arc<Paths>,
        puller: Puller,
    ) -> Self {
        Self { runtime, volumes, cgroup, paths, puller }
    }

    /// What an ended pod does not need any more while its status and logs stay: volumes and cgroup.
    pub fn node_resources(&self, uid: &str) -> Result<(), Error> {
        self.puller.forget(uid);
        self.volumes.tear_down(uid)?;
        self.cgroup.remove(uid).map_err(|error| Error::Cgroup { error })
    }

    /// Containers and sandboxes of the pod.
    pub async fn runtime_objects(&self, view: &PodView) -> Result<(), Error> {
        for container in &view.containers {
            self.remove_container(&container.id).await?;
        }
        for sandbox in &view.sandboxes {
            let id = sandbox.id.clone();
            ignore_missing(
                self.runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id }).await,
            )?;
        }
        Ok(())
    }

    /// Older attempts: per container only the newest and the one before stay, so that their logs can be read; of sandboxes
    /// only the newest.
    pub async fn old_attempts(&self, view: &PodView) -> Result<(), Error> {
        let mut seen: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
        for container in &view.containers {
            let count = seen.entry(&container.name).or_default();
            *count += 1;
            if *count > 2 && matches!(container.state, State::Exited | State::Created) {
                self.remove_container(&container.id).await?;
                remove_file(Path::new(&container.log_path));
            }
        }
        for sandbox in view.sandboxes.iter().skip(1).filter(|sandbox| !sandbox.ready) {
            if view.containers.iter().any(|container| container.sandbox == sandbox.id) {
                continue;
            }
            let id = sandbox.id.clone();
            ignore_missing(
                self.runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id }).await,
            )?;
        }
        Ok(())
    }

    /// The pod's log directory and the links to it.
    pub fn logs(&self, uid: &str) -> Result<(), Error> {
        let suffix = format!("_{uid}");
        for entry in std::fs::read_dir(&self.paths.logs).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(&suffix) {
                let path = entry.path();
                std::fs::remove_dir_all(&path).map_err(|source| Error::Logs { path, source })?;
            }
        }
        for entry in std::fs::read_dir(self.paths.container_logs()).into_iter().flatten().flatten() {
            let path = entry.path();
            if std::fs::read_link(&path)
                .is_ok_and(|target| !target.exists() && target.starts_with(&self.paths.logs))
            {
                remove_file(&path);
            }
        }
        Ok(())
    }

    /// UIDs of pods that have anything on the node.
    pub fn left_behind(&self) -> Vec<String> {
        let mut found = self.volumes.existing_pods();
        found.extend(self.cgroup.existing());
        found.sort();
        found.dedup();
        found
    }

    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let request = v1::RemoveContainerRequest { container_id: id.into() };
        Ok(ignore_missing(self.runtime.remove_container(request).await)?)
    }
}

fn ignore_missing<T>(result: Result<T, cri::Error>) -> Result<(), cri::Error> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "File not removed");
    }
}
