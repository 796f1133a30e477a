//! Static pods: manifests in a directory, or in one file.
//!
//! The directory is watched, and read again every so often in case the watch misses something (fileCheckFrequency).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::manifest;
use crate::pod::{PodExt, SharedPod};
use crate::pod_worker::{Input, Source};

/// A change is acted on after this much quiet, so that a file being written is not read half way.
const SETTLE: Duration = Duration::from_millis(100);

/// Reads manifests and tells the pods in them.
pub struct Files {
    path: PathBuf,
    node: String,
    period: Duration,
    /// Pods by file, as told.
    told: HashMap<PathBuf, Manifest>,
    /// Problems already in the log, by file.
    complained: HashMap<PathBuf, String>,
}

struct Manifest {
    text: String,
    pod: SharedPod,
}

impl Files {
    /// Manifests at `path` for the node named `node`, read every `period`.
    pub fn new(path: PathBuf, node: String, period: Duration) -> Self {
        Self { path, node, period, told: HashMap::new(), complained: HashMap::new() }
    }

    /// Reads until `stop`.
    pub async fn run(mut self, inputs: mpsc::Sender<Input>, stop: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let mut watcher = None;
        let mut first = true;
        loop {
            if watcher.is_none() {
                watcher = self.watch(changed.clone());
            }
            for input in self.read() {
                if inputs.send(input).await.is_err() {
                    return;
                }
            }
            if std::mem::take(&mut first) && inputs.send(Input::Ready(Source::File)).await.is_err() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.period) => {}
                () = changed.notified() => tokio::time::sleep(SETTLE).await,
            }
        }
    }

    fn watch(&self, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
        let wake = move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| event.kind.is_access()) {
                changed.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(wake).ok()?;
        watcher.watch(&self.path, RecursiveMode::NonRecursive).ok()?;
        Some(watcher)
    }

    /// Compares the files with what was told before.
    fn read(&mut self) -> Vec<Input> {
        let files = match self.list() {
            Ok(files) => files,
            Err(error) => {
                let path = self.path.clone();
                let hint = "create the directory or correct staticPodPath";
                self.complain(path, format!("cannot be read: {error}; {hint}"));
                // A directory that has gone takes its pods with it; one that only cannot be read does not.
                if error.kind() != io::ErrorKind::NotFound {
                    return Vec::new();
                }
                Vec::new()
            }
        };
        let mut inputs = Vec::new();
        let gone: Vec<PathBuf> = self.told.keys().filter(|path| !files.contains(path)).cloned().collect();
        for path in gone {
            if let Some(old) = self.told.remove(&path) {
                inputs.push(Input::Removed(old.pod.uid().to_owned()));
            }
        }
        for path in files {
            match fs::read_to_string(&path) {
                Ok(text) => self.read_one(path, text, &mut inputs),
                Err(error) => self.complain(path, format!("cannot be read: {error}")),
            }
        }
        inputs
    }

    fn read_one(&mut self, path: PathBuf, text: String, inputs: &mut Vec<Input>) {
        if self.told.get(&path).is_some_and(|known| known.text == text) {
            return;
        }
        let pod = match manifest::parse(&path, &text, &self.node, jiff::Timestamp::now()) {
            Ok(pod) => Arc::new(pod),
            // The pod of the last good version goes on running.
            Err(error) => return self.complain(path, error.to_string()),
        };
        let twin =
            self.told.iter().find(|(other, known)| **other != path && known.pod.display() == pod.display());
        if let Some((other, _)) = twin {
            let message =
                format!("names the same pod {} as {}; rename one of them", pod.display(), other.display());
            return self.complain(path, message);
        }
        self.complained.remove(&path);
        if let Some(old) = self.told.insert(path, Manifest { text, pod: pod.clone() })
            && old.pod.uid() != pod.uid()
        {
            inputs.push(Input::Removed(old.pod.uid().to_owned()));
        }
        inputs.push(Input::Set(Source::File, pod));
    }

    fn list(&self) -> io::Result<Vec<PathBuf>> {
        if fs::metadata(&self.path)?.is_file() {
            return Ok(vec![self.path.clone()]);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            // Editors' and kubectl's temporary files start with a dot.
            if !hidden(&path) && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Logs a problem once.
    fn complain(&mut self, path: PathBuf, message: String) {
        if self.complained.get(&path) != Some(&message) {
            tracing::error!(path = %path.display(), message, "Static pod manifest not used");
            self.complained.insert(path, message);
        }
    }
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(inputs: Vec<Input>) -> Vec<&'static str> {
        let word = |input: &Input| match input {
            Input::Set(..) => "set",
            Input::Removed(_) => "removed",
            _ => "other",
        };
        inputs.iter().map(word).collect()
    }

    #[test]
    fn files_are_compared_with_what_was_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::new(directory.path().to_owned(), "n".into(), Duration::from_secs(20));
        let manifest = |image: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: c, image: {image}}}]}}"
            )
        };
        let path = directory.path().join("a.yaml");
        fs::write(&path, manifest("i")).unwrap();
        fs::write(directory.path().join(".hidden"), "x").unwrap();
        assert_eq!(words(files.read()), ["set"]);
        assert!(files.read().is_empty());
        fs::write(&path, "broken: [").unwrap();
        assert!(files.read().is_empty(), "a broken file does not end its pod");
        fs::write(&path, manifest("j")).unwrap();
        assert_eq!(words(files.read()), ["removed", "set"]);
        fs::write(directory.path().join("b.yaml"), manifest("k")).unwrap();
        assert!(files.read().is_empty(), "two files cannot name one pod");
        fs::remove_file(&path).unwrap();
        assert_eq!(words(files.read()), ["removed", "set"]);
    }
}
