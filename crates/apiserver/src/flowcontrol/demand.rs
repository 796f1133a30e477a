//! How many seats a level's requests want over time, whether they have them or wait for them.

use std::time::Instant;

/// The demand of the period that runs.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    since: Instant,
    changed: Instant,
    now: f64,
    sum: f64,
    square_sum: f64,
    high: f64,
}

/// What a period's demand was, in seats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub average: f64,
    pub deviation: f64,
    pub high: f64,
}

impl Demand {
    pub fn new(now: Instant, seats: f64) -> Self {
        Demand { since: now, changed: now, now: seats, sum: 0.0, square_sum: 0.0, high: seats }
    }

    /// The demand changes.
    pub fn set(&mut self, seats: f64, now: Instant) {
        let secs = now.duration_since(self.changed).as_secs_f64();
        self.sum += self.now * secs;
        self.square_sum += self.now * self.now * secs;
        self.changed = now;
        self.now = seats;
        self.high = self.high.max(seats);
    }

    /// The summary of the period that ends now; the next one begins.
    pub fn take(&mut self, now: Instant) -> Summary {
        self.set(self.now, now);
        let secs = now.duration_since(self.since).as_secs_f64().max(1e-6);
        let average = self.sum / secs;
        let variance = (self.square_sum / secs - average * average).max(0.0);
        let summary = Summary { average, deviation: variance.sqrt(), high: self.high };
        *self = Demand::new(now, self.now);
        summary
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_period_is_summed_up_by_time() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut demand = Demand::new(start, 0.0);
        demand.set(4.0, at(5));
        let summary = demand.take(at(10));
        assert_eq!((summary.average, summary.deviation, summary.high), (2.0, 2.0, 4.0));
        assert_eq!(demand.take(at(20)).average, 4.0);
    }
}
