//! Container logs in the CRI format: `<RFC 3339 time> <stdout|stderr> <P|F> <content>`, one line each.

pub mod read;
pub mod rotate;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The end of a log as plain text: at most `lines` lines and `bytes` bytes.
pub fn tail(path: &Path, lines: usize, bytes: usize) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // Headers of lines take room too; four times is plenty.
    let window = (bytes as u64 * 4).max(4096).min(length);
    file.seek(SeekFrom::Start(length - window))?;
    let mut raw = Vec::new();
    file.take(window).read_to_end(&mut raw)?;
    let text = String::from_utf8_lossy(&raw);
    let all: Vec<&str> = text.lines().skip(usize::from(window < length)).collect();
    let mut out = String::new();
    for line in &all[all.len().saturating_sub(lines)..] {
        if let Some(parsed) = parse(line.as_bytes()) {
            out.push_str(&String::from_utf8_lossy(parsed.content));
            if !parsed.partial {
                out.push('\n');
            }
        }
    }
    let mut start = out.len().saturating_sub(bytes);
    while !out.is_char_boundary(start) {
        start += 1;
    }
    Ok(out.split_off(start))
}

/// One line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub time: &'a str,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// Whether the line goes on in the next entry.
    pub partial: bool,
    /// What was written, without the line end.
    pub content: &'a [u8],
}

/// Reads one line, without its line end.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stderr = match parts.next()? {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    let partial = parts.next()?.split(|byte| *byte == b':').next() == Some(b"P");
    Some(Line { time, stderr, partial, content: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = parse(b"2024-01-02T03:04:05.6Z stderr F a b").unwrap();
        assert_eq!(
            (line.time, line.stderr, line.partial, line.content),
            ("2024-01-02T03:04:05.6Z", true, false, &b"a b"[..])
        );
        assert!(parse(b"nonsense").is_none());
        assert!(parse(b"t stdout P x").unwrap().partial);
    }

    #[test]
    fn the_tail_is_joined_and_bounded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "t stdout F one\nt stdout P tw\nt stdout F o\nt stderr F three\n")
            .unwrap();
        assert_eq!(tail(file.path(), 80, 2048).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(tail(file.path(), 1, 2048).unwrap(), "three\n");
        assert_eq!(tail(file.path(), 80, 4).unwrap(), "ree\n");
    }
}
