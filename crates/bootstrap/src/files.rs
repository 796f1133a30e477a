//! Writing files so that a crash never leaves half of one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::{Attempt, Result};

/// Who may read a file that is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everybody may read it (0644).
    Public,
    /// Root alone may read it (0600): keys and kubeconfigs.
    Secret,
}

/// Replaces `path` with `content` in one step, making its folders first.
pub fn write(path: &Path, content: impl AsRef<[u8]>, mode: Mode) -> Result<()> {
    let attempted = || format!("write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).attempt(attempted)?;
    let bits = if mode == Mode::Secret { 0o600 } else { 0o644 };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Two processes may write the same file at the same time; the later rename wins whole.
    name.push(format!(".{}.new", std::process::id()));
    // A dot in front: the kubelet skips such files in its manifest folder.
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let temporary = folder.join(hidden);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(bits)
        .open(&temporary)
        .attempt(attempted)?;
    file.write_all(content.as_ref()).attempt(attempted)?;
    file.sync_all().attempt(attempted)?;
    fs::rename(&temporary, path).attempt(attempted)
}

/// Reads a file as text.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).attempt(|| format!("read {}", path.display()))
}

/// Makes a folder and its parents.
pub fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).attempt(|| format!("make the folder {}", path.display()))
}

/// The last `lines` lines of a log, empty when there is none.
pub fn tail(path: &Path, lines: usize) -> String {
    let Ok(text) = fs::read(path) else { return String::new() };
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
