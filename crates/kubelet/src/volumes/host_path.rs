//! hostPath: a file or directory of the node, checked against the type that the pod expects.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// Checks, or creates where the type says so.
pub fn set_up(path: &str, kind: &str) -> Result<PathBuf, Error> {
    let target = Path::new(path);
    let found = fs::metadata(target).ok().map(|metadata| metadata.file_type());
    let wrong = |kind: &'static str| Error::HostPath { path: path.into(), kind };
    match kind {
        // The runtime creates a missing directory, as it always has for an untyped hostPath.
        "" => {}
        "DirectoryOrCreate" => match found {
            None => {
                fs::create_dir_all(target).map_err(Error::io("create", target))?;
                fs::set_permissions(target, Permissions::from_mode(0o755))
                    .map_err(Error::io("set mode of", target))?;
            }
            Some(kind) if kind.is_dir() => {}
            Some(_) => return Err(wrong("directory")),
        },
        "FileOrCreate" => match found {
            None => {
                let created = OpenOptions::new().write(true).create_new(true).mode(0o644).open(target);
                created.map(drop).map_err(Error::io("create", target))?;
            }
            Some(kind) if kind.is_file() => {}
            Some(_) => return Err(wrong("file")),
        },
        _ => {
            let (name, fits): (_, fn(&fs::FileType) -> bool) = match kind {
                "Directory" => ("directory", fs::FileType::is_dir),
                "File" => ("file", fs::FileType::is_file),
                "Socket" => ("socket file", FileTypeExt::is_socket),
                "CharDevice" => ("character device", FileTypeExt::is_char_device),
                "BlockDevice" => ("block device", FileTypeExt::is_block_device),
                other => {
                    return Err(Error::Unsupported {
                        volume: path.into(),
                        kind: format!("hostPath.type {other}"),
                    });
                }
            };
            if !found.as_ref().is_some_and(fits) {
                return Err(wrong(name));
            }
        }
    }
    Ok(target.to_owned())
}
