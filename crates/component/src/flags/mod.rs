//! Command lines: flag groups for daemons to flatten, and Go-style parsing on top of clap.
//!
//! Accepted as upstream accepts them: `--flag=value`, `--flag value`, `--bool`, `--bool=false`, `_` for `-` inside names, and
//! a flag given twice (the last one wins, lists append). A flag of upstream's that a daemon does not define is refused by
//! name; every problem of a command line is reported in one go.

mod groups;
mod parse;

pub use groups::{
    Accepted, Authentication, FeatureGates, Kubeconfig, LeaderElection, Logging, LoggingFormat,
    SecureServing, SniCertificate,
};
pub use parse::{Problems, command, parse, parse_from};

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The upstream flag names of a daemon, with whether each is boolean; empty for programs that are only ours.
pub(crate) fn upstream(daemon: &str) -> impl Iterator<Item = (&'static str, bool)> {
    let table = match daemon {
        "kube-apiserver" => include_str!("../../data/flags/kube-apiserver.txt"),
        "kube-controller-manager" => include_str!("../../data/flags/kube-controller-manager.txt"),
        "kube-scheduler" => include_str!("../../data/flags/kube-scheduler.txt"),
        "kube-proxy" => include_str!("../../data/flags/kube-proxy.txt"),
        "kubelet" => include_str!("../../data/flags/kubelet.txt"),
        _ => "",
    };
    table.lines().map(|line| match line.split_once(' ') {
        Some((name, _)) => (name, true),
        None => (line, false),
    })
}

#[cfg(test)]
mod tests;
