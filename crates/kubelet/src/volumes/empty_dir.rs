//! emptyDir: a fresh directory on the node's disk, or in memory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use api_types::k8s::api::core::v1::EmptyDirVolumeSource;
use nix::mount::{MsFlags, mount};

use super::{Error, mount_table, ownership};
use crate::pod::resources::whole;

/// Makes the directory; everybody in the pod may write to it.
pub fn set_up(path: &Path, source: &EmptyDirVolumeSource, gid: Option<u32>) -> Result<(), Error> {
    match source.medium.as_deref().unwrap_or_default() {
        "" => fs::create_dir_all(path).map_err(Error::io("create", path))?,
        "Memory" => tmpfs(path, source.size_limit.as_ref().map(whole))?,
        other => {
            return Err(Error::Unsupported {
                volume: path.display().to_string(),
                kind: format!("emptyDir.medium {other}"),
            });
        }
    }
    fs::set_permissions(path, Permissions::from_mode(0o777)).map_err(Error::io("set mode of", path))?;
    ownership::apply(path, gid, ownership::Policy::OnRootMismatch)
}

/// Mounts a tmpfs unless one is there. `size` in bytes.
pub fn tmpfs(path: &Path, size: Option<i64>) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::io("create", path))?;
    if mount_table::is_mount_point(path)? {
        return Ok(());
    }
    let options = size.filter(|size| *size > 0).map(|size| format!("size={size}"));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, options.as_deref())
        .map_err(|errno| Error::io("mount tmpfs on", path)(errno.into()))
}
