//! Node pressure: when memory or disk runs short, pods leave the node before the kernel takes what it wants.

mod rank;
pub mod signals;
mod watch;

use api_types::quantity::Quantity;

pub use watch::{Pressure, Watch};

use crate::config::Configuration;
use signals::Signal;

/// evictionHard where nothing is configured.
const DEFAULTS: [(&str, &str); 5] = [
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
];

/// A limit on a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Bytes or inodes.
    Absolute(u64),
    /// Part of the capacity, 0 to 1.
    Fraction(f64),
}

/// When a signal counts as pressure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What is measured.
    pub signal: Signal,
    /// Below this there is pressure.
    pub limit: Limit,
    /// How long it must last; zero for hard thresholds.
    pub grace: std::time::Duration,
}

impl Limit {
    /// The limit for a capacity.
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Absolute(value) => value,
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Self::Fraction(part) => (capacity as f64 * part) as u64,
        }
    }
}

/// The thresholds of a configuration that has passed [`check`].
pub fn thresholds(configuration: &Configuration) -> Vec<Threshold> {
    let mut found = Vec::new();
    let defaults =
        || DEFAULTS.iter().map(|(signal, limit)| ((*signal).to_owned(), (*limit).to_owned())).collect();
    let hard: std::collections::BTreeMap<String, String> =
        configuration.eviction_hard.clone().unwrap_or_else(defaults);
    for (name, text) in &hard {
        let parsed = Signal::parse(name).zip(parse_limit(text));
        found.extend(parsed.map(|(signal, limit)| Threshold {
            signal,
            limit,
            grace: std::time::Duration::ZERO,
        }));
    }
    for (name, text) in &configuration.eviction_soft {
        let grace = configuration
            .eviction_soft_grace_period
            .get(name)
            .map_or(std::time::Duration::ZERO, |grace| grace.0);
        let parsed = Signal::parse(name).zip(parse_limit(text));
        found.extend(parsed.map(|(signal, limit)| Threshold { signal, limit, grace }));
    }
    found
}

/// Adds a line for every threshold that cannot be used.
pub fn check(configuration: &Configuration, problems: &mut Vec<String>) {
    let maps = [
        ("evictionHard", configuration.eviction_hard.as_ref()),
        ("evictionSoft", Some(&configuration.eviction_soft)),
    ];
    for (key, map) in maps {
        for (name, text) in map.into_iter().flatten() {
            if Signal::parse(name).is_none() {
                problems.push(format!(
                    "{key}: signal {name:?} is not known; use memory.available, nodefs.available, nodefs.inodesFree, imagefs.available, imagefs.inodesFree or pid.available"
                ));
            }
            if parse_limit(text).is_none() {
                problems.push(format!("{key}: {text:?} is not a limit; write for example 100Mi or 10%"));
            }
        }
    }
    for name in configuration.eviction_soft.keys() {
        if !configuration.eviction_soft_grace_period.contains_key(name) {
            problems.push(format!("evictionSoft: {name} needs an entry in evictionSoftGracePeriod"));
        }
    }
}

fn parse_limit(text: &str) -> Option<Limit> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().ok()?;
        return (0.0..=100.0).contains(&percent).then_some(Limit::Fraction(percent / 100.0));
    }
    let value = Quantity::parse(text).ok()?.value();
    u64::try_from(value).ok().map(Limit::Absolute)
}
