//! Long-running programs of a node, kept running by systemd where it is process 1 and by our supervisor elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{containerd, supervisor};
use crate::failure::{Attempt, Failure, Result};
use crate::files::{self, Mode};
use crate::host::Host;

/// How long a program may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who keeps the node's programs running.
pub enum Manager {
    /// systemd, through unit files.
    Systemd,
    /// [`supervisor`].
    Supervisor,
}

/// The unit files of `systemd/`, by service. `{{command}}` stands for the command line.
const UNITS: [(&str, &str); 6] = [
    ("containerd", include_str!("../../../../systemd/coxswain-containerd.service")),
    ("kubelet", include_str!("../../../../systemd/kubelet.service")),
    ("etcd", include_str!("../../../../systemd/coxswain-etcd.service")),
    ("kube-apiserver", include_str!("../../../../systemd/kube-apiserver.service")),
    ("kube-controller-manager", include_str!("../../../../systemd/kube-controller-manager.service")),
    ("kube-scheduler", include_str!("../../../../systemd/kube-scheduler.service")),
];

impl Manager {
    /// systemd for the host's own node where it runs; the supervisor for everything else.
    pub fn detect(host: &Host) -> Self {
        if host.is_plain() && containerd::systemd_is_running() { Self::Systemd } else { Self::Supervisor }
    }

    /// Makes sure that `name` runs with `command`; one that runs with another command, or from a file that has been
    /// replaced since, is restarted.
    pub fn ensure(&self, host: &Host, name: &str, command: Vec<String>) -> Result<()> {
        match self {
            Self::Systemd => ensure_unit(name, &command)?,
            Self::Supervisor => ensure_supervised(host, name, command)?,
        }
        self.refresh(host, name).map(drop)
    }

    /// Restarts `name` if its program's file has been replaced since it started; says whether it did.
    pub fn refresh(&self, host: &Host, name: &str) -> Result<bool> {
        let outdated = self.pid(host, name).is_some_and(supervisor::runs_replaced_program);
        match self {
            Self::Supervisor if outdated => supervisor::restart_service(&host.run(), name),
            Self::Systemd if outdated => systemctl(&["restart", &unit_name(name)])?,
            _ => {}
        }
        Ok(outdated)
    }

    /// The process of a program, when it runs.
    fn pid(&self, host: &Host, name: &str) -> Option<i32> {
        match self {
            Self::Supervisor => supervisor::service_pid(&host.run(), name),
            Self::Systemd => {
                let show = ["show", "--property", "MainPID", "--value", &unit_name(name)];
                let output = Command::new("systemctl").args(show).output().ok()?;
                String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|pid| *pid > 0)
            }
        }
    }

    /// The end of a program's log.
    pub fn log_tail(&self, host: &Host, name: &str, lines: usize) -> String {
        match self {
            Self::Supervisor => files::tail(&self.log_path(host, name), lines),
            Self::Systemd => {
                let lines = lines.to_string();
                let output = Command::new("journalctl")
                    .args(["-u", &unit_name(name), "-n", &lines, "--no-pager"])
                    .output();
                output.map_or_else(
                    |_| String::new(),
                    |output| String::from_utf8_lossy(&output.stdout).into_owned(),
                )
            }
        }
    }

    /// How a person reads a program's log.
    pub fn log_hint(&self, host: &Host, name: &str) -> String {
        match self {
            Self::Supervisor => format!("less {}", self.log_path(host, name).display()),
            Self::Systemd => format!("journalctl -u {}", unit_name(name)),
        }
    }

    /// Ends all programs of the node.
    pub async fn stop_all(&self, host: &Host) -> Result<()> {
        match self {
            Self::Supervisor => supervisor::stop(&host.supervisor_config(), PATIENCE).await,
            Self::Systemd => {
                for (name, _) in UNITS.iter().rev() {
                    let path = unit_path(name);
                    if path.exists() {
                        systemctl(&["disable", "--now", &unit_name(name)])?;
                        std::fs::remove_file(&path).attempt(|| format!("remove {}", path.display()))?;
                    }
                }
                systemctl(&["daemon-reload"])
            }
        }
    }

    fn log_path(&self, host: &Host, name: &str) -> PathBuf {
        host.logs().join(format!("{name}.log"))
    }
}

fn ensure_supervised(host: &Host, name: &str, command: Vec<String>) -> Result<()> {
    let path = host.supervisor_config();
    let mut config = if path.exists() {
        serde_yaml::from_str(&files::read(&path)?).attempt(|| format!("parse {}", path.display()))?
    } else {
        supervisor::Config { run: host.run(), logs: host.logs(), services: BTreeMap::new() }
    };
    let service = supervisor::Service { command, netns: host.netns().map(PathBuf::from) };
    let changed = config.services.get(name).is_some_and(|old| *old != service);
    config.services.insert(name.to_owned(), service);
    supervisor::ensure(&path, &config)?;
    if changed {
        supervisor::restart_service(&config.run, name);
    }
    Ok(())
}

fn ensure_unit(name: &str, command: &[String]) -> Result<()> {
    let template = UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, template)| template);
    let template = template.ok_or_else(|| Failure::new(format!("run {name}"), "it has no systemd unit"))?;
    let line: Vec<String> = command.iter().map(|word| quote(word)).collect();
    let unit = template.replace("{{command}}", &line.join(" \\\n    "));
    let path = unit_path(name);
    let changed = !std::fs::read_to_string(&path).is_ok_and(|old| old == unit);
    files::write(&path, unit, Mode::Public)?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", &unit_name(name)])?;
    systemctl(&[if changed { "restart" } else { "start" }, &unit_name(name)])
}

/// Quotes a word for ExecStart= (systemd.service(5), "Command lines").
fn quote(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if word.contains([' ', '"', '\'', ';']) { format!("\"{escaped}\"") } else { escaped }
}

fn unit_name(name: &str) -> String {
    match name {
        "containerd" | "etcd" => format!("coxswain-{name}.service"),
        _ => format!("{name}.service"),
    }
}

fn unit_path(name: &str) -> PathBuf {
    PathBuf::from("/etc/systemd/system").join(unit_name(name))
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let attempted = || format!("run systemctl {}", arguments.join(" "));
    let output = Command::new("systemctl").args(arguments).output().attempt(attempted)?;
    if output.status.success() {
        return Ok(());
    }
    let unit = arguments.last().copied().unwrap_or_default();
    Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr).trim())
        .cure(format!("see why with: journalctl -u {unit} -n 50")))
}
