//! Pauses between restarts of a crashing container: 10 s, doubled up to a limit, forgotten after a quiet time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// First pause.
const FIRST: Duration = Duration::from_secs(10);
/// A container that ran this long is not crashing any more.
const QUIET: Duration = Duration::from_secs(600);

/// Pauses of one pod's containers.
#[derive(Debug)]
pub struct Backoff {
    longest: Duration,
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    pause: Duration,
    started: Timestamp,
}

/// A container has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The pause, of which a part may be over.
    pub pause: Duration,
    /// What is left of it.
    pub left: Duration,
}

impl Backoff {
    /// With the longest pause from `crashLoopBackOff.maxContainerRestartPeriod`.
    pub fn new(longest: Duration) -> Self {
        Self { longest, entries: HashMap::new() }
    }

    /// Whether a container whose last attempt ended at `ended` may start now.
    pub fn check(&self, name: &str, ended: Timestamp, now: Timestamp) -> Result<(), Wait> {
        let Some(entry) = self.entries.get(name) else { return Ok(()) };
        if since(entry.started, ended) >= QUIET {
            return Ok(());
        }
        let left = entry.pause.saturating_sub(since(ended, now));
        if left.is_zero() { Ok(()) } else { Err(Wait { pause: entry.pause, left }) }
    }

    /// Notes that a container is started again; its next pause is longer, unless it had run well.
    pub fn started(&mut self, name: &str, ended: Timestamp, now: Timestamp) {
        let longest = self.longest;
        let first = FIRST.min(longest);
        let pause = match self.entries.get(name) {
            Some(entry) if since(entry.started, ended) < QUIET => (entry.pause * 2).min(longest),
            _ => first,
        };
        self.entries.insert(name.to_owned(), Entry { pause, started: now });
    }
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_forgotten() {
        let mut backoff = Backoff::new(Duration::from_secs(300));
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        assert_eq!(backoff.check("a", at(0), at(0)), Ok(()));
        backoff.started("a", at(0), at(0));
        assert_eq!(backoff.check("a", at(1), at(2)).unwrap_err().left, Duration::from_secs(9));
        assert_eq!(backoff.check("a", at(1), at(11)), Ok(()));
        backoff.started("a", at(1), at(11));
        assert_eq!(backoff.check("a", at(12), at(12)).unwrap_err().pause, Duration::from_secs(20));
        for _ in 0..9 {
            backoff.started("a", at(12), at(12));
        }
        assert_eq!(backoff.check("a", at(12), at(12)).unwrap_err().pause, Duration::from_secs(300));
        assert_eq!(backoff.check("a", at(1000), at(1000)), Ok(()));
        backoff.started("a", at(1000), at(1000));
        assert_eq!(backoff.check("a", at(1000), at(1000)).unwrap_err().pause, Duration::from_secs(10));
    }
}
