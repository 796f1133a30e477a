//! Files of configMap, secret, downwardAPI and projected volumes: replaced all together or not at all.
//!
//! The files are in a directory of their own, to which the link `..data` points; the names that containers see are links
//! through `..data`. An update writes a new directory and then moves the one link, so that a reader sees either the old files or the
//! new ones. Open files and subPath mounts keep the old contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown, symlink};
use std::path::{Component, Path, PathBuf};

use super::Error;

/// The link that is moved.
const DATA: &str = "..data";

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Contents.
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner, where it is not root.
    pub uid: Option<u32>,
}

/// Files by path relative to the volume.
pub type Payload = BTreeMap<String, Entry>;

/// Makes `directory` show exactly `payload`, with group `gid` where given. Returns whether something changed.
pub fn write(directory: &Path, payload: &Payload, gid: Option<u32>) -> Result<bool, Error> {
    payload.keys().try_for_each(|path| check(path))?;
    let data = directory.join(DATA);
    let old = fs::read_link(&data).ok();
    if let Some(old) = &old
        && current(&directory.join(old), payload)
    {
        link_names(directory, payload)?;
        return Ok(false);
    }
    let fresh = fresh_directory(directory)?;
    for (path, entry) in payload {
        write_file(&directory.join(&fresh), path, entry, gid)?;
    }
    own_directories(&directory.join(&fresh), gid)?;
    let staged = directory.join("..data_tmp");
    remove_if_there(&staged)?;
    symlink(&fresh, &staged).map_err(Error::io("link", &staged))?;
    fs::rename(&staged, &data).map_err(Error::io("move link to", &data))?;
    link_names(directory, payload)?;
    remove_stale(directory, payload, &fresh)?;
    Ok(true)
}

/// A path must stay inside the volume and may not use names that the writer keeps for itself.
fn check(path: &str) -> Result<(), Error> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.starts_with("..") {
        return Err(Error::BadPath { path: path.into() });
    }
    Ok(())
}

fn current(directory: &Path, payload: &Payload) -> bool {
    let mut found = BTreeSet::new();
    if collect(directory, Path::new(""), &mut found).is_err() {
        return false;
    }
    found.len() == payload.len()
        && payload.iter().all(|(path, entry)| {
            let file = directory.join(path);
            found.contains(Path::new(path))
                && fs::metadata(&file).is_ok_and(|metadata| metadata.len() == entry.data.len() as u64)
                && fs::read(&file).is_ok_and(|data| data == entry.data)
        })
}

fn collect(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

fn fresh_directory(directory: &Path) -> Result<PathBuf, Error> {
    let stamp = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S").to_string();
    let name = PathBuf::from(format!("..{stamp}.{:010}", rand::random::<u32>()));
    let path = directory.join(&name);
    fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(Error::io("set mode of", &path))?;
    Ok(name)
}

fn write_file(root: &Path, path: &str, entry: &Entry, gid: Option<u32>) -> Result<(), Error> {
    let target = root.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    let mut file = File::create(&target).map_err(Error::io("create", &target))?;
    file.write_all(&entry.data).map_err(Error::io("write", &target))?;
    if gid.is_some() || entry.uid.is_some() {
        fchown(&file, entry.uid, gid).map_err(Error::io("change owner of", &target))?;
    }
    // After chown, which clears set-ID bits; a group that owns the volume may read its files.
    let mode = entry.mode | if gid.is_some() { 0o440 } else { 0 };
    file.set_permissions(Permissions::from_mode(mode)).map_err(Error::io("set mode of", &target))
}

fn own_directories(directory: &Path, gid: Option<u32>) -> Result<(), Error> {
    let Some(gid) = gid else { return Ok(()) };
    let metadata = fs::metadata(directory).map_err(Error::io("read", directory))?;
    std::os::unix::fs::chown(directory, None, Some(gid)).map_err(Error::io("change group of", directory))?;
    let mode = metadata.permissions().mode() | 0o2550;
    fs::set_permissions(directory, Permissions::from_mode(mode))
        .map_err(Error::io("set mode of", directory))?;
    for entry in fs::read_dir(directory).map_err(Error::io("read", directory))?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            own_directories(&entry.path(), Some(gid))?;
        }
    }
    Ok(())
}

/// Every first path component becomes a link through `..data`.
fn link_names(directory: &Path, payload: &Payload) -> Result<(), Error> {
    for name in names(payload) {
        let link = directory.join(&name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(&name), &link).map_err(Error::io("link", &link))?;
        }
    }
    Ok(())
}

fn remove_stale(directory: &Path, payload: &Payload, fresh: &Path) -> Result<(), Error> {
    let wanted = names(payload);
    for entry in fs::read_dir(directory).map_err(Error::io("read", directory))?.flatten() {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let path = entry.path();
        if text == DATA || Path::new(&name) == fresh {
            continue;
        }
        if text.starts_with("..") && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        } else if !wanted.contains(text.as_ref()) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

fn names(payload: &Payload) -> BTreeSet<String> {
    payload.keys().filter_map(|path| path.split('/').next()).map(str::to_owned).collect()
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(entries: &[(&str, &str)]) -> Payload {
        let entry = |data: &str| Entry { data: data.into(), mode: 0o644, uid: None };
        entries.iter().map(|(path, data)| ((*path).to_owned(), entry(data))).collect()
    }

    #[test]
    fn updates_replace_all_files_through_one_link() {
        let volume = tempfile::tempdir().unwrap();
        let read = |path: &str| fs::read_to_string(volume.path().join(path)).ok();
        assert!(write(volume.path(), &payload(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!((read("a"), read("d/b")), (Some("1".into()), Some("2".into())));
        let first = fs::read_link(volume.path().join(DATA)).unwrap();
        assert!(!write(volume.path(), &payload(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!(fs::read_link(volume.path().join(DATA)).unwrap(), first);
        assert!(write(volume.path(), &payload(&[("a", "3"), ("c", "4")]), None).unwrap());
        assert_eq!((read("a"), read("c"), read("d/b")), (Some("3".into()), Some("4".into()), None));
        assert!(!volume.path().join(first).exists());
        assert_eq!(fs::read_link(volume.path().join("a")).unwrap(), Path::new("..data/a"));
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["../x", "/etc/x", "a/../../x", "..data", ""] {
            assert!(write(Path::new("/nonexistent"), &payload(&[(path, "")]), None).is_err(), "{path}");
        }
    }

    #[test]
    fn an_empty_volume_is_a_volume() {
        let volume = tempfile::tempdir().unwrap();
        assert!(write(volume.path(), &Payload::new(), None).unwrap());
        assert!(!write(volume.path(), &Payload::new(), None).unwrap());
    }
}
