//! cgroup v1: one directory per mounted hierarchy (Documentation/admin-guide/cgroup-v1).

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Limits, Usage, io_error, usage, write};

/// One mounted hierarchy and its controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Mount point.
    pub point: PathBuf,
    /// Controllers, such as `cpu` and `cpuacct`, or `name=systemd`.
    pub controllers: Vec<String>,
}

impl Mount {
    /// Whether a controller is in this hierarchy.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// The v1 hierarchies of a `/proc/self/mountinfo` (proc(5)).
pub fn mounts(mountinfo: &str) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let kind = right.split(' ').next();
        if kind == Some("cgroup2") {
            // Beside v1 hierarchies it has no controllers, but the runtime makes directories there too.
            found.push(Mount { point: PathBuf::from(point), controllers: Vec::new() });
        }
        if kind != Some("cgroup") {
            continue;
        }
        let options = right.rsplit(' ').next().unwrap_or_default();
        let controllers: Vec<String> = options
            .split(',')
            .filter(|option| !matches!(*option, "rw" | "ro") && !option.starts_with("xattr"))
            .filter(|option| !option.starts_with("release_agent") && !option.starts_with("clone_children"))
            .map(str::to_owned)
            .collect();
        if !found.iter().any(|mount| mount.controllers == controllers) {
            found.push(Mount { point: PathBuf::from(point), controllers });
        }
    }
    found
}

/// Creates `directory` in every hierarchy and sets the values.
pub fn ensure(mounts: &[Mount], directory: &Path, limits: &Limits) -> Result<(), Error> {
    for mount in mounts {
        let path = mount.point.join(directory);
        fs::create_dir_all(&path).map_err(io_error("create cgroup", &path))?;
        if mount.has("cpuset") {
            fill_cpuset(&mount.point, directory)?;
        }
        if mount.has("cpu") {
            if let Some(shares) = limits.cpu_shares {
                write(&path.join("cpu.shares"), &shares.to_string())?;
            }
            if let Some((quota, period)) = limits.cpu_quota {
                write(&path.join("cpu.cfs_period_us"), &period.to_string())?;
                write(&path.join("cpu.cfs_quota_us"), &quota.to_string())?;
            }
        }
        if let (true, Some(bytes)) = (mount.has("memory"), limits.memory) {
            write(&path.join("memory.limit_in_bytes"), &bytes.to_string())?;
        }
        if let (true, Some(pids)) = (mount.has("pids"), limits.pids) {
            write(&path.join("pids.max"), &pids.to_string())?;
        }
    }
    Ok(())
}

/// A new cpuset is empty and takes no process until it has CPUs and memory nodes; it gets its parent's, top down.
fn fill_cpuset(mount: &Path, directory: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut path = mount.to_owned();
        let mut inherited = fs::read_to_string(path.join(file)).unwrap_or_default();
        for part in directory {
            path.push(part);
            let target = path.join(file);
            let own = fs::read_to_string(&target).map_err(io_error("read", &target))?;
            if own.trim().is_empty() {
                write(&target, inherited.trim())?;
            } else {
                inherited = own;
            }
        }
    }
    Ok(())
}

/// What the processes of a cgroup use.
pub fn usage(mounts: &[Mount], directory: &Path) -> Usage {
    let path = |controller: &str, file: &str| {
        mounts.iter().find(|mount| mount.has(controller)).map(|mount| mount.point.join(directory).join(file))
    };
    let number = |controller, file| path(controller, file).and_then(|path| usage::number(&path));
    let stat = path("memory", "memory.stat").map(|path| usage::table(&path)).unwrap_or_default();
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    let memory = number("memory", "memory.usage_in_bytes").unwrap_or(0);
    Usage {
        cpu_nanoseconds: number("cpuacct", "cpuacct.usage").unwrap_or(0),
        memory_usage: memory,
        memory_working_set: memory.saturating_sub(value("total_inactive_file")),
        memory_rss: value("total_rss"),
        page_faults: value("total_pgfault"),
        major_page_faults: value("total_pgmajfault"),
        processes: number("pids", "pids.current").unwrap_or(0),
    }
}
