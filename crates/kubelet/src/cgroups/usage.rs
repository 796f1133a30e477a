//! Reading counters.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What the processes of a cgroup use. Memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since creation, nanoseconds.
    pub cpu_nanoseconds: u64,
    /// All memory charged, file cache included.
    pub memory_usage: u64,
    /// Memory that cannot be given back easily: usage without inactive file pages.
    pub memory_working_set: u64,
    /// Anonymous memory.
    pub memory_rss: u64,
    /// Page faults since creation.
    pub page_faults: u64,
    /// Page faults that needed I/O.
    pub major_page_faults: u64,
    /// Tasks now.
    pub processes: u64,
}

/// A file that holds one number.
pub fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A file of `key value` lines.
pub fn table(path: &Path) -> HashMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?))).collect()
}

/// The whole node, from /proc: the v2 root cgroup has no memory files.
pub fn node() -> Usage {
    let memory: HashMap<String, u64> = fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (key, rest) = line.split_once(':')?;
            Some((key.to_owned(), rest.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024))
        })
        .collect();
    let value = |key: &str| memory.get(key).copied().unwrap_or(0);
    let usage = value("MemTotal").saturating_sub(value("MemFree"));
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: u64 = stat
        .lines()
        .next()
        .map(|line| {
            let fields: Vec<u64> =
                line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
            // user, nice, system, irq, softirq, steal; idle (3) and iowait (4) are not work.
            fields
                .iter()
                .enumerate()
                .filter(|(index, _)| !matches!(index, 3 | 4) && *index < 8)
                .map(|(_, v)| v)
                .sum()
        })
        .unwrap_or(0);
    Usage {
        cpu_nanoseconds: ticks * 10_000_000,
        memory_usage: usage,
        memory_working_set: usage.saturating_sub(value("Inactive(file)")),
        memory_rss: value("AnonPages"),
        ..Usage::default()
    }
}
