//! Levels, versions, and the checks that each combination runs.

use std::fmt;

use serde_json::Value;

use super::visit::Pod;
use super::{baseline, restricted};

/// The minor version whose checks are the latest.
const LATEST: u32 = 36;

/// A level of the Pod Security Standards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => return None,
        })
    }
}

/// `latest`, or a minor version of Kubernetes 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version(Option<u32>);

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self(None));
        }
        let minor = text.strip_prefix("v1.")?;
        let canonical = !minor.is_empty() && (minor == "0" || !minor.starts_with('0'));
        minor.parse().ok().filter(|_| canonical).map(|minor| Self(Some(minor)))
    }

    pub(super) fn parse_or_latest(text: Option<&str>) -> Self {
        text.and_then(Self::parse).unwrap_or_default()
    }

    fn minor(self) -> u32 {
        self.0.map_or(LATEST, |minor| minor.min(LATEST))
    }
}

/// A level at a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standard {
    pub(super) level: Level,
    pub(super) version: Version,
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version.0 {
            None => write!(f, "{level}:latest"),
            Some(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a check finds: the reason, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: String,
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Self { reason: reason.into(), detail: detail.into() })
    }
}

/// A rule of a standard, from a minor version of Kubernetes on.
pub(super) struct Check {
    pub(super) since: u32,
    /// From this version on the check of the restricted level takes its place there.
    pub(super) replaced_in_restricted: Option<u32>,
    pub(super) run: fn(&Pod<'_>, u32) -> Option<Violation>,
}

/// What is wrong with a pod, with details, in the order of the checks.
pub(super) fn violations(standard: &Standard, metadata: &Value, spec: &Value) -> Vec<String> {
    let show =
        |v: Violation| if v.detail.is_empty() { v.reason } else { format!("{} ({})", v.reason, v.detail) };
    run(standard, metadata, spec).into_iter().map(show).collect()
}

/// What is wrong with a pod, in short.
pub(super) fn reasons(standard: &Standard, metadata: &Value, spec: &Value) -> Vec<String> {
    run(standard, metadata, spec).into_iter().map(|v| v.reason).collect()
}

fn run(standard: &Standard, metadata: &Value, spec: &Value) -> Vec<Violation> {
    let minor = standard.version.minor();
    let strict = standard.level == Level::Restricted;
    let pod = Pod { metadata, spec };
    let in_force = |check: &&Check| {
        let replaced = strict && check.replaced_in_restricted.is_some_and(|since| minor >= since);
        minor >= check.since && !replaced
    };
    let apply = |checks: &[Check]| -> Vec<Violation> {
        checks.iter().filter(in_force).filter_map(|check| (check.run)(&pod, minor)).collect()
    };
    match standard.level {
        Level::Privileged => Vec::new(),
        Level::Baseline => apply(baseline::CHECKS),
        Level::Restricted => apply(baseline::CHECKS).into_iter().chain(apply(restricted::CHECKS)).collect(),
    }
}
