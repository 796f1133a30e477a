//! The small supervisor that keeps containerd and the kubelet running on hosts without systemd.
//!
//! It is one process per node: it starts each service of its configuration in its own session, writes its output to a
//! log file and starts it again when it ends, with a growing pause. The services outlive the supervisor: when it is
//! killed and started again it adopts what still runs, told apart from a reused pid by the process's start time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Attempt, Failure, Result};
use crate::files::{self, Mode};

/// What is to be kept running, read from a YAML file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Folder for pid files.
    pub run: PathBuf,
    /// Folder for the services' logs.
    pub logs: PathBuf,
    /// The services by name, started in the order of their names' appearance in the file's map (alphabetical).
    pub services: BTreeMap<String, Service>,
}

/// One service.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The network namespace to run in, a path such as `/var/run/netns/n2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
}

/// A running process, safe against reuse of its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    /// Start time in clock ticks since boot (proc_pid_stat(5), field 22).
    started: u64,
}

/// The pause before a service that keeps ending is started again.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);
/// A service that ran this long is taken to be well; its pause starts over.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// How often the supervisor looks. The services aren't all its children (see the module's text), so it can't just wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A log larger than this is moved aside when its service starts.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

/// Runs until SIGTERM or SIGINT. The services go on running.
pub async fn run(config_path: &Path) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).attempt(|| "listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).attempt(|| "listen for SIGINT")?;
    let mut keepers: BTreeMap<String, Keeper> = BTreeMap::new();
    let mut config = load(config_path)?;
    claim(&config)?;
    loop {
        match load(config_path) {
            Ok(newer) => config = newer,
            Err(failure) => eprintln!("keeping the last configuration: {failure}"),
        }
        for (name, service) in &config.services {
            keepers.entry(name.clone()).or_default().look(name, service, &config);
        }
        keepers.retain(|name, _| config.services.contains_key(name));
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Starts a supervisor for `config` in the background unless one runs already, which then takes over the new file.
pub fn ensure(config_path: &Path, config: &Config) -> Result<()> {
    let text = serde_yaml::to_string(config).attempt(|| "render the supervisor's configuration")?;
    files::write(config_path, text, Mode::Public)?;
    files::make_dir(&config.run)?;
    files::make_dir(&config.logs)?;
    if running(&config.run.join("supervisor.pid")).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe().attempt(|| "find this program's own file")?;
    let command = vec![program.display().to_string(), "supervise".into(), config_path.display().to_string()];
    spawn("supervisor", &Service { command, netns: None }, config).map(drop)
}

/// Ends the supervisor and then every service, waiting for each; kills what does not end within `patience`.
pub async fn stop(config_path: &Path, patience: Duration) -> Result<()> {
    if !config_path.exists() {
        return Ok(());
    }
    let config = load(config_path)?;
    let services = config.services.keys().rev().map(String::as_str);
    for name in std::iter::once("supervisor").chain(services) {
        let pid_file = config.run.join(format!("{name}.pid"));
        if let Some(process) = running(&pid_file) {
            end(process, patience).await;
        }
        remove_if_there(&pid_file)?;
    }
    Ok(())
}

/// Takes one service off the list, so that it isn't started again, and ends it.
pub async fn stop_one(config_path: &Path, name: &str, patience: Duration) -> Result<()> {
    if !config_path.exists() {
        return Ok(());
    }
    let mut config = load(config_path)?;
    if config.services.remove(name).is_some() {
        let text = serde_yaml::to_string(&config).attempt(|| "render the supervisor's configuration")?;
        files::write(config_path, text, Mode::Public)?;
        // The supervisor reads its file each time it looks; after that it leaves the service alone.
        tokio::time::sleep(2 * LOOK_EVERY).await;
    }
    let pid_file = config.run.join(format!("{name}.pid"));
    if let Some(process) = running(&pid_file) {
        end(process, patience).await;
    }
    remove_if_there(&pid_file)
}

/// The pid of a service, when it runs.
pub fn service_pid(run: &Path, name: &str) -> Option<i32> {
    running(&run.join(format!("{name}.pid"))).map(|process| process.pid)
}

/// Whether a process still runs a program whose file has been replaced by a newer one (proc_pid_exe(5)).
pub fn runs_replaced_program(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.to_string_lossy().ends_with(" (deleted)"))
}

/// Ends one service; the supervisor starts it again with its current configuration.
pub fn restart_service(run: &Path, name: &str) {
    if let Some(process) = running(&run.join(format!("{name}.pid"))) {
        // It may have ended by itself in between.
        kill(Pid::from_raw(process.pid), Signal::SIGTERM).ok();
    }
}

fn load(path: &Path) -> Result<Config> {
    serde_yaml::from_str(&files::read(path)?)
        .attempt(|| format!("read the supervisor's services from {}", path.display()))
}

/// Makes this process the supervisor of its configuration.
fn claim(config: &Config) -> Result<()> {
    let pid_file = config.run.join("supervisor.pid");
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    if let Some(other) = running(&pid_file).filter(|process| process.pid != own) {
        return Err(Failure::new("supervise this node", format!("process {} does it already", other.pid)));
    }
    record(&pid_file, own)
}

/// Watches over one service.
#[derive(Default)]
struct Keeper {
    since: Option<Instant>,
    not_before: Option<Instant>,
    pause: Option<Duration>,
}

impl Keeper {
    fn look(&mut self, name: &str, service: &Service, config: &Config) {
        reap();
        let pid_file = config.run.join(format!("{name}.pid"));
        if running(&pid_file).is_some() {
            self.since.get_or_insert_with(Instant::now);
            return;
        }
        if let Some(since) = self.since.take() {
            let well = since.elapsed() >= WELL_AFTER;
            let pause = match self.pause {
                Some(pause) if !well => (pause * 2).min(PAUSE_LONGEST),
                _ => PAUSE_FIRST,
            };
            eprintln!("{name} has ended; starting it again in {} ms", pause.as_millis());
            self.pause = Some(pause);
            self.not_before = Some(Instant::now() + pause);
        }
        if self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        match spawn(name, service, config) {
            Ok(pid) => {
                eprintln!("started {name} as process {pid}");
                self.since = Some(Instant::now());
            }
            Err(failure) => {
                eprintln!("{failure}");
                self.not_before = Some(Instant::now() + PAUSE_LONGEST);
            }
        }
    }
}

/// Starts a service in a session of its own, so that no terminal's end takes it along.
fn spawn(name: &str, service: &Service, config: &Config) -> Result<i32> {
    let attempted = || format!("start {name}");
    let log = config.logs.join(format!("{name}.log"));
    if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
        fs::rename(&log, log.with_extension("log.1")).attempt(attempted)?;
    }
    let output = fs::OpenOptions::new().create(true).append(true).open(&log).attempt(attempted)?;
    let errors = output.try_clone().attempt(attempted)?;
    let mut words: Vec<&str> = service.command.iter().map(String::as_str).collect();
    // `nsenter` and not `ip netns exec`: the latter mounts a fresh /sys, which hides the cgroups.
    let enter = service.netns.as_ref().map(|path| format!("--net={}", path.display()));
    if let Some(enter) = &enter {
        words.splice(0..0, ["nsenter", enter.as_str(), "--"]);
    }
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Failure::new(attempted(), "its command is empty in the configuration"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
    in_own_session(&mut command);
    let child = command.spawn().attempt(|| format!("start {name} ({program})"))?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    record(&config.run.join(format!("{name}.pid")), pid)?;
    Ok(pid)
}

#[allow(unsafe_code)]
fn in_own_session(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; setsid(2) is one, and nothing else is done.
    unsafe {
        command.pre_exec(|| setsid().map(drop).map_err(std::io::Error::from));
    }
}

fn record(pid_file: &Path, pid: i32) -> Result<()> {
    let started = start_time(pid).unwrap_or(0);
    files::write(pid_file, format!("{pid} {started}\n"), Mode::Public)
}

/// The process that a pid file names, if it still is the same one and not a zombie.
fn running(pid_file: &Path) -> Option<Process> {
    let text = fs::read_to_string(pid_file).ok()?;
    let mut words = text.split_whitespace();
    let process = Process { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
    (start_time(process.pid) == Some(process.started)).then_some(process)
}

/// When a process started; `None` when there is none or it is a zombie.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in parentheses and may contain anything; fields are counted after it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

async fn end(process: Process, patience: Duration) {
    let pid = Pid::from_raw(process.pid);
    // Failing means that it has just ended, which is what is wanted.
    kill(pid, Signal::SIGTERM).ok();
    let started = Instant::now();
    while start_time(process.pid) == Some(process.started) {
        reap();
        if started.elapsed() > patience {
            kill(pid, Signal::SIGKILL).ok();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Collects services that ended and are children of this process.
fn reap() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path, command: &[&str]) -> Config {
        let service =
            Service { command: command.iter().map(|word| (*word).to_owned()).collect(), netns: None };
        Config {
            run: folder.to_path_buf(),
            logs: folder.to_path_buf(),
            services: BTreeMap::from([("sleeper".to_owned(), service)]),
        }
    }

    #[tokio::test]
    async fn a_killed_service_is_told_from_a_running_one_and_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), &["/bin/sleep", "600"]);
        let service = config.services["sleeper"].clone();
        let mut keeper = Keeper::default();
        keeper.look("sleeper", &service, &config);
        let first = service_pid(folder.path(), "sleeper").unwrap();
        keeper.look("sleeper", &service, &config);
        assert_eq!(service_pid(folder.path(), "sleeper"), Some(first), "it was started twice");

        end(running(&folder.path().join("sleeper.pid")).unwrap(), Duration::ZERO).await;
        let mut second = None;
        let deadline = Instant::now() + Duration::from_secs(20);
        while second.is_none() && Instant::now() < deadline {
            keeper.look("sleeper", &service, &config);
            second = service_pid(folder.path(), "sleeper");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(second.is_some_and(|pid| pid != first), "first {first}, then {second:?}");
        end(running(&folder.path().join("sleeper.pid")).unwrap(), Duration::ZERO).await;
    }

    #[test]
    fn a_reused_pid_is_not_taken_for_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("other.pid");
        fs::write(&pid_file, format!("{} 1\n", std::process::id())).unwrap();
        assert_eq!(running(&pid_file), None);
    }
}
