//! What people and scripts see: every transcript of `tests/golden` is played against a real etcd and kube-apiserver.
//!
//! ```text
//! ## Showing objects                a comment
//! $ ctl get pods                   a command, run by sh in an empty folder
//! No resources found ...           its standard output, then
//! ! Warning: ...                   its standard error, then
//! (exit 1)                         its exit status, when that is not 0
//! ```
//!
//! A command with `<<END` goes on until the line `END`. Each transcript has a namespace of its own, `default` for its
//! commands. What differs from run to run (ages, times, uids, versions, addresses) is replaced by a word.
//!
//! `CTL_GOLDEN_REWRITE=1 cargo test -p ctl --test golden` writes what it saw into the transcripts; read the difference before
//! committing it. `CTL_GOLDEN=get` plays only the transcripts with "get" in their names.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use server::Server;
use similar::TextDiff;

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let only = std::env::var("CTL_GOLDEN").unwrap_or_default();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_string_lossy().contains(&only));
    paths.sort();
    assert!(!paths.is_empty(), "no transcript has {only:?} in its name");
    let server = Server::start();
    let differences: Vec<String> = paths.iter().filter_map(|path| play(&server, path)).collect();
    assert!(
        differences.is_empty(),
        "{}\n{} of {} transcripts differ; if that is meant: CTL_GOLDEN_REWRITE=1 cargo test -p ctl --test golden",
        differences.join("\n"),
        differences.len(),
        paths.len()
    );
}

/// Plays one transcript; gives the difference, if any.
fn play(server: &Server, path: &Path) -> Option<String> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let expected = std::fs::read_to_string(path).unwrap();
    let stage = Stage::new(server, &name);
    let mut seen = String::new();
    let mut lines = expected.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("## ") || (line.is_empty() && !seen.ends_with("\n\n") && !follows_output(&seen)) {
            seen.push_str(line);
            seen.push('\n');
        }
        let Some(first) = line.strip_prefix("$ ") else { continue };
        let mut command = first.to_owned();
        if let Some((_, end)) = first.split_once("<<") {
            let end = end.split_whitespace().next().unwrap().trim_matches('\'');
            for line in lines.by_ref() {
                command.push('\n');
                command.push_str(line);
                if line == end {
                    break;
                }
            }
        }
        if follows_output(&seen) {
            seen.push('\n');
        }
        seen.push_str(&format!("$ {command}\n{}", stage.run(&command)));
    }
    if seen == expected {
        return None;
    }
    if std::env::var_os("CTL_GOLDEN_REWRITE").is_some() {
        std::fs::write(path, &seen).unwrap();
        return None;
    }
    let difference = TextDiff::from_lines(&expected, &seen);
    Some(difference.unified_diff().context_radius(4).header(&name, "what ctl did").to_string())
}

/// Whether the last line is neither a comment nor empty: a blank line separates it from the next command.
fn follows_output(seen: &str) -> bool {
    seen.lines().last().is_some_and(|line| !line.is_empty() && !line.starts_with("## "))
}

/// Where one transcript's commands run.
struct Stage<'a> {
    server: &'a Server,
    folder: tempfile::TempDir,
    namespace: String,
}

impl<'a> Stage<'a> {
    fn new(server: &'a Server, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stage = Self { server, folder, namespace: name.to_owned() };
        server.write_kubeconfig(&stage.folder.path().join(".kube/config"), name);
        for setup in [format!("ctl create namespace {name}"), "ctl create serviceaccount default".into()] {
            let outcome = stage.shell(&setup).output().unwrap();
            assert!(outcome.status.success(), "{setup}: {}", String::from_utf8_lossy(&outcome.stderr));
        }
        stage
    }

    fn shell(&self, command: &str) -> Command {
        let ctl = Path::new(env!("CARGO_BIN_EXE_ctl")).parent().unwrap();
        let mut shell = Command::new("timeout");
        shell
            .args(["60", "sh", "-c", command])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", ctl.display()))
            .env("HOME", self.folder.path())
            .env("TZ", "UTC")
            .env("SERVER", self.server.url());
        shell
    }

    fn run(&self, command: &str) -> String {
        let outcome = self.shell(command).output().unwrap();
        let mut text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str("(no line end)\n");
        }
        for line in String::from_utf8_lossy(&outcome.stderr).lines() {
            text.push_str(&format!("! {line}\n"));
        }
        match outcome.status.code() {
            Some(0) => {}
            code => text.push_str(&format!("(exit {})\n", code.unwrap_or(-1))),
        }
        self.normal(&text)
    }

    /// Replaces what differs from run to run.
    fn normal(&self, text: &str) -> String {
        let replacements = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000", "DATE"),
            (r#"(resourceVersion"?: ")\d+"#, "${1}N"),
            (r"(Resource Version: +)\d+", "${1}N"),
            (r"(kube-api-access)-[a-z0-9]{5}\b", "$1-XXXXX"),
            (r"/tmp/\.?[A-Za-z0-9_-]+", "FOLDER"),
        ];
        let mut text = text
            .replace(&self.folder.path().display().to_string(), "FOLDER")
            .replace(self.server.url(), "https://SERVER")
            .replace(self.server.address(), "SERVER");
        for (pattern, word) in replacements {
            text = Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
        }
        // A cell of a table with the time since something: padded as the column is, whatever its length.
        let age = Regex::new(r"(?m)(  )((?:\d+m)?\d+s)( *)( \S|$)").unwrap();
        let padded = |found: &regex::Captures<'_>| {
            let width = (found[2].len() + found[3].len()).max(3);
            let cell = if found[4].is_empty() { "AGE".into() } else { format!("{:<width$}", "AGE") };
            format!("{}{cell}{}", &found[1], &found[4])
        };
        let text = age.replace_all(&text, padded);
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // The server goes away after the last transcript; nodes must not be seen by the next one.
        let command = format!("ctl delete nodes -l golden={} --ignore-not-found", self.namespace);
        self.shell(&command).output().ok();
    }
}
