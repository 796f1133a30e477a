//! Kernel parameters: connection-tracking limits and forwarding.

use std::io;
use std::time::Duration;

use component::duration::GoDuration;

use crate::config::Conntrack;

/// Applies the configuration. What the kernel refuses (a read-only /proc/sys, a namespace without its own limit) is reported and
/// otherwise let be: Services work with the system's limits too.
pub fn apply(conntrack: &Conntrack) {
    for (name, value) in settings(conntrack, cores()) {
        if let Err(error) = raise(name, value) {
            tracing::warn!(sysctl = name, value, %error, "cannot set a kernel parameter; going on with the system's value");
        }
    }
}

fn settings(conntrack: &Conntrack, cores: u32) -> Vec<(&'static str, u64)> {
    let mut settings = Vec::new();
    let max = conntrack
        .max_per_core
        .filter(|n| *n > 0)
        .map(|n| n.saturating_mul(cores).max(conntrack.min.unwrap_or(0)));
    settings.extend(max.map(|max| ("net/netfilter/nf_conntrack_max", u64::from(max))));
    for (name, timeout) in [
        ("net/netfilter/nf_conntrack_tcp_timeout_established", conntrack.tcp_established_timeout),
        ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", conntrack.tcp_close_wait_timeout),
        ("net/netfilter/nf_conntrack_udp_timeout", conntrack.udp_timeout),
        ("net/netfilter/nf_conntrack_udp_timeout_stream", conntrack.udp_stream_timeout),
    ] {
        let timeout = timeout.filter(|GoDuration(timeout)| *timeout > Duration::ZERO);
        settings.extend(timeout.map(|GoDuration(timeout)| (name, timeout.as_secs())));
    }
    if conntrack.tcp_be_liberal {
        settings.push(("net/netfilter/nf_conntrack_tcp_be_liberal", 1));
    }
    settings
}

/// Writes a value unless the parameter has it already; the limit of connections is only ever raised.
fn raise(name: &str, value: u64) -> io::Result<()> {
    let path = format!("/proc/sys/{name}");
    let present: Option<u64> = std::fs::read_to_string(&path)?.trim().parse().ok();
    let enough =
        if name.ends_with("nf_conntrack_max") { present >= Some(value) } else { present == Some(value) };
    if enough { Ok(()) } else { std::fs::write(&path, value.to_string()) }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Sets this process's `oom_score_adj`.
pub fn set_oom_score(score: i32) {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        tracing::warn!(score, %error, "cannot set oom_score_adj; going on without");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_leaves_the_system_alone() {
        let conntrack = Conntrack { tcp_close_wait_timeout: None, ..Conntrack::default() };
        let expected = [
            ("net/netfilter/nf_conntrack_max", 131_072),
            ("net/netfilter/nf_conntrack_tcp_timeout_established", 86_400),
        ];
        assert_eq!(settings(&conntrack, 2), expected);
        assert_eq!(settings(&conntrack, 8)[0].1, 262_144);
    }
}
