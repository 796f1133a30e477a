//! Step: the pod's directories.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;

use crate::paths::Paths;
use crate::pod::PodExt;

/// Makes a pod's data and log directories. Idempotent.
#[derive(Clone)]
pub struct Directories {
    paths: Arc<Paths>,
}

/// A directory cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("error making pod data directories: create {}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

impl Directories {
    /// Below `paths`.
    pub fn new(paths: Arc<Paths>) -> Self {
        Self { paths }
    }

    /// Makes them.
    pub fn ensure(&self, pod: &Pod) -> Result<(), Error> {
        let uid = pod.uid();
        let logs = self.paths.pod_logs(pod);
        let mut all = vec![
            self.paths.pod(uid),
            self.paths.volumes(uid),
            self.paths.pod(uid).join("plugins"),
            logs.clone(),
        ];
        for (_, container) in crate::pod::containers::all(pod) {
            all.push(self.paths.container(uid, &container.name));
            all.push(logs.join(&container.name));
        }
        for path in all {
            let made = fs::create_dir_all(&path).and_then(|()| {
                fs::set_permissions(
                    &path,
                    Permissions::from_mode(if path.starts_with(&logs) { 0o755 } else { 0o750 }),
                )
            });
            made.map_err(|source| Error { path, source })?;
        }
        Ok(())
    }
}
