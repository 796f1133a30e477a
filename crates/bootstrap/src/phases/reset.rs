//! `bootstrap reset`: removes everything that `init` or `join` put onto this host.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;

use super::Place;
use crate::failure::{Attempt, Failure, Result};
use crate::host::Host;
use crate::progress::{self, phase};
use crate::runtime::service::Manager;
use crate::runtime::supervisor;

/// Flags of `bootstrap reset`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    /// Don't ask.
    #[arg(long, short)]
    force: bool,
    /// Keep the image bundle and containerd's copies of it.
    #[arg(long)]
    keep_images: bool,
}

/// Runs every phase; each may find its work already done.
pub async fn run(flags: &Flags) -> Result<()> {
    let host = flags.place.host();
    if !flags.force && !confirmed()? {
        println!("nothing was changed");
        return Ok(());
    }
    let services = Manager::detect(&host);
    phase("pods", remove_pods(&host, &services)).await?;
    phase("services", services.stop_all(&host)).await?;
    phase("mounts", async { unmount_below(&[host.kubelet_root(), host.run(), host.state()]) }).await?;
    phase("network", async { remove_network(&host) }).await?;
    phase("cgroups", async { remove_cgroups(&host) }).await?;
    phase("files", async { remove_files(&host, flags.keep_images) }).await
}

fn confirmed() -> Result<bool> {
    println!(
        "This ends all pods of this node and deletes its certificates, its configuration and etcd's data."
    );
    println!("Type yes to go on:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).attempt(|| "read the answer")?;
    Ok(answer.trim() == "yes")
}

/// Ends every container while containerd still runs. The kubelet goes first, else it would start them again.
async fn remove_pods(host: &Host, services: &Manager) -> Result<()> {
    stop_kubelet(host, services).await?;
    let socket = host.cri_socket();
    if tokio::net::UnixStream::connect(&socket).await.is_err() {
        progress::note("containerd does not run; nothing to end");
        return Ok(());
    }
    let address = socket.display().to_string();
    let ctr = |arguments: &[&str]| {
        let mut command = Command::new("ctr");
        command.args(["--address", &address, "--namespace", "k8s.io"]).args(arguments).output()
    };
    let listed = ctr(&["tasks", "ls", "-q"]).attempt(|| "list the running containers")?;
    let tasks: Vec<String> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    for task in &tasks {
        ctr(&["tasks", "kill", "--signal", "SIGKILL", task])
            .attempt(|| format!("kill the container {task}"))?;
    }
    let probe = || async {
        let listed = ctr(&["tasks", "ls"]).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let left = text.lines().filter(|line| line.contains("RUNNING")).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} still run")) }
    };
    progress::wait_for("all containers to end", Duration::from_secs(30), Duration::from_millis(200), probe)
        .await?;
    for task in &tasks {
        ctr(&["tasks", "delete", "--force", task]).attempt(|| format!("delete the container {task}"))?;
    }
    Ok(())
}

async fn stop_kubelet(host: &Host, services: &Manager) -> Result<()> {
    match services {
        Manager::Systemd => {
            // Stopping a unit that does not exist fails, which is fine here.
            Command::new("systemctl")
                .args(["stop", "kubelet.service"])
                .output()
                .attempt(|| "stop the kubelet")?;
        }
        Manager::Supervisor => {
            supervisor::stop_one(&host.supervisor_config(), "kubelet", Duration::from_secs(10)).await?;
        }
    }
    Ok(())
}

/// Unmounts everything below some folders, deepest first.
fn unmount_below(folders: &[std::path::PathBuf]) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").attempt(|| "read the list of mounts")?;
    let below = |target: &str| {
        folders.iter().any(|folder| Path::new(target).starts_with(folder) && Path::new(target) != folder)
    };
    let mut targets: Vec<&str> =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|target| below(target)).collect();
    targets.sort_unstable_by_key(|target| std::cmp::Reverse(target.len()));
    for target in targets {
        let outcome = nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH);
        outcome.attempt(|| format!("unmount {target}"))?;
    }
    Ok(())
}

/// Removes the node's bridge and our packet-filter tables; nothing of anybody else's.
fn remove_network(host: &Host) -> Result<()> {
    let run = |program: &str, arguments: &[&str]| {
        let mut command = match host.netns() {
            Some(path) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", path.display())).arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).output().attempt(|| format!("run {program} {}", arguments.join(" ")))
    };
    let tables = run("nft", &["list", "tables"])?;
    for line in String::from_utf8_lossy(&tables.stdout).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["table", family, name] = words.as_slice()
            && OUR_TABLES.contains(name)
        {
            run("nft", &["delete", "table", family, name])?;
        }
    }
    if run("ip", &["link", "show", "cni0"])?.status.success() {
        run("ip", &["link", "delete", "cni0"])?;
    }
    run("ip", &["route", "flush", "proto", OUR_ROUTE_PROTOCOL])?;
    Ok(())
}

/// The nftables tables that kube-proxy and the network agent make.
const OUR_TABLES: [&str; 2] = ["kube-proxy", "coxswain-network"];
/// The routing protocol number that the network agent tags its routes with.
const OUR_ROUTE_PROTOCOL: &str = "213";

/// Removes the pods' cgroups from every hierarchy: /sys/fs/cgroup itself for v2, the folders in it for v1 (cgroups(7)).
fn remove_cgroups(host: &Host) -> Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![top.to_path_buf()];
    for entry in fs::read_dir(top).attempt(|| "list the cgroup hierarchies")?.flatten() {
        // v1 has aliases such as cpu → cpu,cpuacct.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            hierarchies.push(entry.path());
        }
    }
    let pods = if host.is_plain() { "kubepods".to_owned() } else { host.cgroup_root() };
    for hierarchy in hierarchies {
        remove_cgroup(&hierarchy.join(pods.trim_start_matches('/')))?;
    }
    Ok(())
}

/// Removes a cgroup and those below it. A cgroup is removed by rmdir(2) alone; its files go with it.
fn remove_cgroup(cgroup: &Path) -> Result<()> {
    let entries = match fs::read_dir(cgroup) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.attempt(|| format!("list the cgroup {}", cgroup.display()))?,
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup).attempt(|| format!("remove the cgroup {}", cgroup.display()))
}

fn remove_files(host: &Host, keep_images: bool) -> Result<()> {
    let mut folders = vec![
        host.kubernetes(),
        host.kubelet_root(),
        host.etcd_data(),
        host.pod_logs(),
        host.cni_data(),
        host.run(),
        host.logs(),
    ];
    let containerd = host.containerd_config();
    folders.extend(containerd.parent().map(Path::to_path_buf));
    if !keep_images {
        folders.push(host.state());
    }
    for folder in folders {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::new(format!("remove {}", folder.display()), error)
                    .cure("something still uses it; `fuser -vm PATH` names the process"));
            }
            _ => {}
        }
    }
    remove_file(&host.cni_conf().join("10-coxswain.conflist"))?;
    remove_file(&host.modules_at_boot())?;
    let links = fs::read_dir(host.container_logs()).into_iter().flatten().flatten();
    for link in links.filter(|link| !link.path().exists()) {
        remove_file(&link.path())?;
    }
    // Folders that others may use too go when nothing is left in them.
    for folder in [host.container_logs(), host.cni_conf(), host.cni()] {
        match fs::remove_dir(&folder) {
            Err(error)
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                return Err(Failure::new(format!("remove {}", folder.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}
