//! Reads a container's log for a user: from where they ask, as long as they ask, following rotation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader, SeekFrom};
use tokio::sync::mpsc;

use super::parse;
use crate::cri::{Runtime, v1};

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often the container is asked whether it still runs, in polls.
const POLLS_PER_CHECK: u32 = 5;
/// Step of the backward search for the last lines.
const BLOCK: u64 = 64 << 10;

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Go on while the container runs.
    pub follow: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// At most so many bytes.
    pub limit: Option<u64>,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Only standard error (true) or output (false).
    pub stderr: Option<bool>,
}

/// An opened log.
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    selection: Selection,
    left: u64,
}

impl Reader {
    /// Opens the log and finds the place to start.
    pub async fn open(path: &Path, selection: Selection) -> std::io::Result<Self> {
        let mut file = File::open(path).await?;
        let start = match selection.tail {
            Some(lines) => tail_offset(&mut file, lines).await?,
            None => 0,
        };
        file.seek(SeekFrom::Start(start)).await?;
        let left = selection.limit.unwrap_or(u64::MAX);
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), selection, left })
    }

    /// Sends the log until its end, or until the container and the log have ended, or nobody listens.
    pub async fn run(mut self, chunks: mpsc::Sender<Bytes>, runtime: Runtime, container: String) {
        let mut polls: u32 = 0;
        let mut last_round = !self.selection.follow;
        loop {
            match self.drain(&chunks).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    return tracing::debug!(path = %self.path.display(), %error, "Log not read to its end");
                }
            }
            if last_round {
                return;
            }
            tokio::select! {
                () = chunks.closed() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            if let Some(new) = self.rotated().await {
                // The runtime wrote to the old file until it opened the new one.
                if !self.drain(&chunks).await.unwrap_or(false) {
                    return;
                }
                self.file = BufReader::new(new);
                continue;
            }
            polls += 1;
            if polls.is_multiple_of(POLLS_PER_CHECK) {
                // What was written before the end is still to be read.
                last_round = !runs(&runtime, &container).await;
            }
        }
    }

    /// Reads complete lines up to the present end; false when enough has been sent or nobody listens.
    async fn drain(&mut self, chunks: &mpsc::Sender<Bytes>) -> std::io::Result<bool> {
        let mut line = Vec::new();
        let mut chunk = Vec::new();
        loop {
            line.clear();
            let read = self.file.read_until(b'\n', &mut line).await?;
            let complete = line.last() == Some(&b'\n');
            if read > 0 && !complete {
                // The runtime is still writing this line.
                let back = i64::try_from(read).unwrap_or(0);
                self.file.seek(SeekFrom::Current(-back)).await?;
            }
            if complete {
                line.pop();
                self.add(&line, &mut chunk);
            }
            let full = self.left == 0;
            if !chunk.is_empty()
                && (!complete || full || chunk.len() > 16 << 10)
                && chunks.send(Bytes::from(std::mem::take(&mut chunk))).await.is_err()
            {
                return Ok(false);
            }
            if full {
                return Ok(false);
            }
            if !complete {
                return Ok(true);
            }
        }
    }

    fn add(&mut self, raw: &[u8], chunk: &mut Vec<u8>) {
        let Some(line) = parse(raw) else { return };
        let early = |since: &Timestamp| line.time.parse::<Timestamp>().is_ok_and(|time| time < *since);
        if self.selection.since.as_ref().is_some_and(early)
            || self.selection.stderr.is_some_and(|stderr| stderr != line.stderr)
        {
            return;
        }
        let before = chunk.len();
        if self.selection.timestamps {
            chunk.extend_from_slice(line.time.as_bytes());
            chunk.push(b' ');
        }
        chunk.extend_from_slice(line.content);
        if !line.partial {
            chunk.push(b'\n');
        }
        let added = (chunk.len() - before) as u64;
        if added > self.left {
            chunk.truncate(before + usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(added);
    }

    /// After a rotation the name belongs to a new file.
    async fn rotated(&self) -> Option<File> {
        use std::os::unix::fs::MetadataExt;
        let new = File::open(&self.path).await.ok()?;
        let (now, then) = (new.metadata().await.ok()?, self.file.get_ref().metadata().await.ok()?);
        (now.ino() != then.ino()).then_some(new)
    }
}

async fn runs(runtime: &Runtime, container: &str) -> bool {
    let request = v1::ContainerStatusRequest { container_id: container.to_owned(), verbose: false };
    match runtime.container_status(request).await {
        Ok(answer) => {
            answer.status.is_some_and(|status| status.state == v1::ContainerState::ContainerRunning as i32)
        }
        Err(error) => !error.is_not_found(),
    }
}

/// Where the last `lines` lines begin.
async fn tail_offset(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    let mut end = length;
    let mut seen = 0;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start)).await?;
        block.clear();
        (&mut *file).take(end - start).read_to_end(&mut block).await?;
        for (index, byte) in block.iter().enumerate().rev() {
            let position = start + index as u64;
            // The line end that closes the file belongs to the last line.
            if *byte == b'\n' && position + 1 < length {
                seen += 1;
                if seen == lines {
                    return Ok(position + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str, selection: Selection) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut reader = Reader::open(file.path(), selection).await.unwrap();
        let (chunks, mut receiver) = mpsc::channel(16);
        reader.drain(&chunks).await.unwrap();
        drop(chunks);
        let mut out = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            out.extend_from_slice(&chunk);
        }
        String::from_utf8(out).unwrap()
    }

    const LOG: &str = "2024-01-01T00:00:00Z stdout F one\n2024-01-01T00:00:01Z stderr F two\n2024-01-01T00:00:02Z stdout P th\n2024-01-01T00:00:02Z stdout F ree\n2024-01-01T00:00:03Z stdout F four\nincomplete";

    #[tokio::test]
    async fn selections_are_obeyed() {
        let all = Selection::default();
        for (selection, expected) in [
            (all.clone(), "one\ntwo\nthree\nfour\n"),
            (Selection { tail: Some(1), ..all.clone() }, ""),
            (Selection { tail: Some(2), ..all.clone() }, "four\n"),
            (Selection { tail: Some(0), ..all.clone() }, ""),
            (Selection { limit: Some(6), ..all.clone() }, "one\ntw"),
            (Selection { stderr: Some(true), ..all.clone() }, "two\n"),
            (Selection { since: Some("2024-01-01T00:00:03Z".parse().unwrap()), ..all.clone() }, "four\n"),
            (Selection { timestamps: true, limit: Some(24), ..all.clone() }, "2024-01-01T00:00:00Z one"),
        ] {
            assert_eq!(read(LOG, selection.clone()).await, expected, "{selection:?}");
        }
    }
}
