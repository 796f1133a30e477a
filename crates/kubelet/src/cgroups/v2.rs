//! cgroup v2: one hierarchy (Documentation/admin-guide/cgroup-v2).

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Limits, Usage, io_error, usage, write};

/// Controllers that pods need.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];

/// The mount point of the v2 hierarchy in a `/proc/self/mountinfo` (proc(5)).
pub fn mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        (right.split(' ').next() == Some("cgroup2")).then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Creates `directory`, hands the controllers down to it and sets the values.
pub fn ensure(mount: &Path, directory: &Path, limits: &Limits) -> Result<(), Error> {
    let mut path = mount.to_owned();
    for part in directory {
        delegate(&path)?;
        path.push(part);
        fs::create_dir_all(&path).map_err(io_error("create cgroup", &path))?;
    }
    if let Some(shares) = limits.cpu_shares {
        write(&path.join("cpu.weight"), &weight(shares).to_string())?;
    }
    if let Some((quota, period)) = limits.cpu_quota {
        write(&path.join("cpu.max"), &format!("{quota} {period}"))?;
    }
    if let Some(bytes) = limits.memory {
        write(&path.join("memory.max"), &bytes.to_string())?;
    }
    if let Some(pids) = limits.pids {
        write(&path.join("pids.max"), &pids.to_string())?;
    }
    Ok(())
}

/// Enables in a cgroup's children the controllers that it has itself.
fn delegate(path: &Path) -> Result<(), Error> {
    let available = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    let enabled = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let missing: Vec<String> = CONTROLLERS
        .iter()
        .filter(|name| has(&available, name) && !has(&enabled, name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() { Ok(()) } else { write(&path.join("cgroup.subtree_control"), &missing.join(" ")) }
}

/// `cpu.weight` (1 to 10,000) for v1 shares (2 to 262,144), linear (KEP-2254).
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// What the processes of a cgroup use.
pub fn usage(path: &Path) -> Usage {
    let cpu = usage::table(&path.join("cpu.stat"));
    let memory = usage::table(&path.join("memory.stat"));
    let value = |key: &str| memory.get(key).copied().unwrap_or(0);
    let current = usage::number(&path.join("memory.current")).unwrap_or(0);
    Usage {
        cpu_nanoseconds: cpu.get("usage_usec").copied().unwrap_or(0) * 1000,
        memory_usage: current,
        memory_working_set: current.saturating_sub(value("inactive_file")),
        memory_rss: value("anon"),
        page_faults: value("pgfault"),
        major_page_faults: value("pgmajfault"),
        processes: usage::number(&path.join("pids.current")).unwrap_or(0),
    }
}
