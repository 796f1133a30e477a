//! What is mounted (proc(5), /proc/self/mountinfo).

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::Error;

/// Whether something is mounted exactly here.
pub fn is_mount_point(path: &Path) -> Result<bool, Error> {
    Ok(points()?.iter().any(|point| point == path))
}

/// Unmounts everything at or below a directory, deepest first.
pub fn unmount_below(directory: &Path) -> Result<(), Error> {
    let mut below: Vec<PathBuf> =
        points()?.into_iter().filter(|point| point.starts_with(directory)).collect();
    below.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    for point in below {
        match umount2(&point, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
            Err(errno) => return Err(Error::io("unmount", &point)(errno.into())),
        }
    }
    Ok(())
}

fn points() -> Result<Vec<PathBuf>, Error> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(table).map_err(Error::io("read", table))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(unescape(point)))
        .collect())
}

/// Blanks and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn octal_escapes_are_read() {
        assert_eq!(super::unescape(r"/a\040b\134c"), r"/a b\c");
    }
}
