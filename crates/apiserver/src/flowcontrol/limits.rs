//! How the server's seats are divided among priority levels.

use std::collections::BTreeMap;

use super::config::{LevelKind, PriorityLevel};

/// The seats of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// By its shares.
    pub nominal: u32,
    /// What stays when all that may be lent is lent.
    pub min: u32,
    /// What it may have by borrowing.
    pub max: u32,
}

/// Divides `total` seats by shares. Every limited level has at least one.
pub fn bounds(total: u32, levels: &BTreeMap<String, PriorityLevel>) -> BTreeMap<String, Bounds> {
    let sum: f64 = levels.values().map(|level| level.shares as f64).sum::<f64>().max(1.0);
    let of = |level: &PriorityLevel| {
        let nominal = (f64::from(total) * level.shares as f64 / sum).ceil();
        let nominal = if level.kind == LevelKind::Exempt { nominal } else { nominal.max(1.0) };
        let percent = |percent: i64| (nominal * percent as f64 / 100.0).round();
        let max = level.borrowing.map_or(f64::from(total), |limit| nominal + percent(limit));
        Bounds {
            nominal: nominal as u32,
            min: (nominal - percent(level.lendable)).max(0.0) as u32,
            max: max.max(nominal) as u32,
        }
    };
    levels.iter().map(|(name, level)| (name.clone(), of(level))).collect()
}

/// What a level asks for in one round of lending.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim {
    /// Seats that it must have.
    pub lower: f64,
    /// Seats that it may have at most.
    pub upper: f64,
    /// Seats that it would use.
    pub target: f64,
}

/// Divides `total` seats so that every level has the same fraction of what it would use, within its bounds.
pub fn divide(total: u32, claims: &[Claim]) -> Vec<u32> {
    let total = f64::from(total);
    let given = |fraction: f64| {
        claims
            .iter()
            .map(move |claim| (claim.target * fraction).clamp(claim.lower, claim.upper.max(claim.lower)))
    };
    let (mut low, mut high) = (0.0, 1.0);
    while given(high).sum::<f64>() < total && high < 1e6 {
        high *= 2.0;
    }
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        match given(middle).sum::<f64>() > total {
            true => high = middle,
            false => low = middle,
        }
    }
    given(low).map(|seats| seats.round().max(1.0) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_follow_shares() {
        let level =
            |shares, lendable, borrowing| PriorityLevel { shares, lendable, borrowing, ..Default::default() };
        let levels = BTreeMap::from([
            ("a".to_owned(), level(100, 90, None)),
            ("b".to_owned(), level(20, 50, Some(50))),
            ("c".to_owned(), PriorityLevel { kind: LevelKind::Exempt, ..Default::default() }),
        ]);
        let bounds = bounds(600, &levels);
        assert_eq!(bounds["a"], Bounds { nominal: 500, min: 50, max: 600 });
        assert_eq!(bounds["b"], Bounds { nominal: 100, min: 50, max: 150 });
        assert_eq!(bounds["c"], Bounds { nominal: 0, min: 0, max: 600 });
    }

    #[test]
    fn idle_levels_lend() {
        let claim = |lower, upper, target| Claim { lower, upper, target };
        let shares =
            divide(100, &[claim(10.0, 100.0, 200.0), claim(5.0, 100.0, 5.0), claim(20.0, 25.0, 50.0)]);
        assert_eq!(shares.iter().sum::<u32>(), 100);
        assert!(shares[0] >= 70 && shares[1] == 5 && shares[2] >= 20, "{shares:?}");
        // What levels must have is theirs, whatever others want.
        assert_eq!(divide(10, &[claim(8.0, 10.0, 0.0), claim(2.0, 10.0, 99.0)]), [8, 2]);
    }
}
