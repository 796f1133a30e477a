//! What is measured.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// A resource of the node that can run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Memory that is not in use.
    Memory,
    /// Bytes free where the kubelet keeps its files.
    NodeBytes,
    /// Inodes free there.
    NodeInodes,
    /// Bytes free where the runtime keeps images.
    ImageBytes,
    /// Inodes free there.
    ImageInodes,
    /// Process identifiers.
    Pids,
}

/// A measurement: how much is left of how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What is left.
    pub available: u64,
    /// All of it.
    pub capacity: u64,
}

impl Signal {
    /// By the name that the configuration uses.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "memory.available" => Self::Memory,
            "nodefs.available" => Self::NodeBytes,
            "nodefs.inodesFree" => Self::NodeInodes,
            "imagefs.available" => Self::ImageBytes,
            "imagefs.inodesFree" => Self::ImageInodes,
            "pid.available" => Self::Pids,
            _ => return None,
        })
    }

    /// The node condition that pressure on it sets.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Pids => "PIDPressure",
            Self::NodeBytes | Self::NodeInodes | Self::ImageBytes | Self::ImageInodes => "DiskPressure",
        }
    }

    /// The resource as eviction messages name it.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::NodeBytes | Self::ImageBytes => "ephemeral-storage",
            Self::NodeInodes | Self::ImageInodes => "inodes",
        }
    }
}

/// Bytes of a file system. Logs, images and volumes are written by root, so blocks reserved for root count as available:
/// with a large reserve a node with much room would otherwise lose its pods and images.
pub fn bytes(path: &Path) -> Option<Reading> {
    let found = statvfs(path).ok()?;
    let block = found.fragment_size();
    Some(Reading { available: found.blocks_free() * block, capacity: found.blocks() * block })
}

/// Inodes of a file system; `None` where it does not count them.
pub fn inodes(path: &Path) -> Option<Reading> {
    let found = statvfs(path).ok()?;
    (found.files() > 0).then(|| Reading { available: found.files_free(), capacity: found.files() })
}

/// Memory: what is not in the working set of the node.
pub fn memory(working_set: u64) -> Option<Reading> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let capacity = total.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
    Some(Reading { available: capacity.saturating_sub(working_set), capacity })
}

/// Process identifiers.
pub fn pids() -> Option<Reading> {
    let capacity: u64 = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?.trim().parse().ok()?;
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let used: u64 = load.split_whitespace().nth(3)?.split('/').nth(1)?.parse().ok()?;
    Some(Reading { available: capacity.saturating_sub(used), capacity })
}
