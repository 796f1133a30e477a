//! subPath: one file or directory of a volume, bound where the container can have it.
//!
//! A container may write links into its volume that point anywhere on the node. So the path is opened by the kernel with
//! the promise that it never leaves the volume (openat2(2), RESOLVE_BENEATH), and what was opened is bound, not its name.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, mkdirat};

use super::{Error, mount_table};

/// Binds `sub_path` of the volume at `root` to `target` and returns the target. Missing directories are created.
pub fn bind(root: &Path, sub_path: &str, target: &Path) -> Result<PathBuf, Error> {
    let relative = Path::new(sub_path);
    if relative.is_absolute() || relative.components().any(|part| part == Component::ParentDir) {
        return Err(Error::BadPath { path: sub_path.into() });
    }
    if mount_table::is_mount_point(target)? {
        return Ok(target.to_owned());
    }
    let opened = open(root, relative)?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let is_directory = fs::metadata(&source).map_err(Error::io("read", &source))?.is_dir();
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    if is_directory {
        fs::create_dir_all(target).map_err(Error::io("create", target))?;
    } else {
        File::create(target).map_err(Error::io("create", target))?;
    }
    mount(Some(&source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(|errno| Error::io("bind subPath to", target)(errno.into()))?;
    Ok(target.to_owned())
}

fn open(root: &Path, relative: &Path) -> Result<OwnedFd, Error> {
    let failed = |errno: Errno| Error::io("open subPath", &root.join(relative))(errno.into());
    let top = File::open(root).map_err(Error::io("open", root))?;
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut at = PathBuf::new();
    let mut opened: Option<OwnedFd> = None;
    for part in relative.components().filter(|part| matches!(part, Component::Normal(_))) {
        at.push(part);
        let step = match openat2(&top, &at, how) {
            Err(Errno::ENOENT) => {
                let name = Path::new(part.as_os_str());
                let made = match &opened {
                    Some(parent) => mkdirat(parent, name, Mode::from_bits_truncate(0o750)),
                    None => mkdirat(&top, name, Mode::from_bits_truncate(0o750)),
                };
                made.map_err(failed)?;
                openat2(&top, &at, how)
            }
            other => other,
        };
        opened = Some(step.map_err(failed)?);
    }
    match opened {
        Some(opened) => Ok(opened),
        None => Ok(top.into()),
    }
}
