//! fsGroup: the group that owns a pod's volumes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use api_types::k8s::api::core::v1::Pod;

use super::Error;
use crate::pod::PodExt;

/// When to walk the whole volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Every time.
    Always,
    /// Only when the volume's root is not right yet.
    OnRootMismatch,
}

/// The pod's fsGroup.
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec().security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// fsGroupChangePolicy.
pub fn policy(pod: &Pod) -> Policy {
    let context = pod.spec().security_context.as_ref();
    match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => Policy::OnRootMismatch,
        _ => Policy::Always,
    }
}

/// Gives the volume to the group: readable and writable, and new files inherit the group.
pub fn apply(root: &Path, gid: Option<u32>, policy: Policy) -> Result<(), Error> {
    let Some(gid) = gid else { return Ok(()) };
    let metadata = fs::metadata(root).map_err(Error::io("read", root))?;
    let right = metadata.gid() == gid && metadata.mode() & 0o2770 == 0o2770;
    if policy == Policy::OnRootMismatch && right { Ok(()) } else { walk(root, gid) }
}

fn walk(path: &Path, gid: u32) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(path).map_err(Error::io("read", path))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::io("read", path))?.flatten() {
            walk(&entry.path(), gid)?;
        }
    }
    chown(path, None, Some(gid)).map_err(Error::io("change group of", path))?;
    let bits = if metadata.is_dir() { 0o2770 } else { 0o660 };
    let mode = Permissions::from_mode(metadata.mode() & 0o7777 | bits);
    fs::set_permissions(path, mode).map_err(Error::io("set mode of", path))
}
