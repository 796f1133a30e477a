//! From a proposal to a count: bounds, rates of change, stabilization.

use std::time::Duration;

use api_types::k8s::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};
use jiff::{SignedDuration, Timestamp};

use super::status::Condition;

/// Without rules, a count may double at once, or become this.
const SCALE_UP_FLOOR: i32 = 4;
/// Nothing is remembered for longer; the API allows no longer window or period.
const MEMORY: SignedDuration = SignedDuration::from_hours(1);

/// What is remembered of an autoscaler between two looks.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// Counts that were proposed.
    recommendations: Vec<(Timestamp, i32)>,
    /// Changes of the count, by how much.
    ups: Vec<(Timestamp, i32)>,
    downs: Vec<(Timestamp, i32)>,
}

impl History {
    /// The count that is found at first counts as proposed.
    pub(super) fn begin(&mut self, now: Timestamp, current: i32) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Remembers a change of the count.
    pub(super) fn scaled(&mut self, now: Timestamp, current: i32, desired: i32) {
        match desired - current {
            0 => {}
            more if more > 0 => self.ups.push((now, more)),
            less => self.downs.push((now, -less)),
        }
    }

    fn forget(&mut self, now: Timestamp) {
        for list in [&mut self.recommendations, &mut self.ups, &mut self.downs] {
            list.retain(|(at, _)| now.duration_since(*at) <= MEMORY);
        }
    }
}

/// The bounds of an autoscaler and its present count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub current: i32,
    pub min: i32,
    pub max: i32,
}

/// The count that is set, and the conditions that say why it is that.
pub(super) fn limit(
    bounds: Bounds,
    proposed: i32,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    stabilization: Duration,
    history: &mut History,
    now: Timestamp,
) -> (i32, [Condition; 2]) {
    history.forget(now);
    let window = |rules: Option<&HPAScalingRules>| {
        let seconds = rules.and_then(|rules| rules.stabilization_window_seconds);
        seconds.map(|seconds| SignedDuration::from_secs(i64::from(seconds)))
    };
    let up = behavior.and_then(|behavior| behavior.scale_up.as_ref());
    let down = behavior.and_then(|behavior| behavior.scale_down.as_ref());
    let default = SignedDuration::try_from(stabilization).unwrap_or(MEMORY);
    let windows = (window(up).unwrap_or(SignedDuration::ZERO), window(down).unwrap_or(default));
    let (stable, able) = stabilize(bounds.current, proposed, behavior.is_some(), windows, history, now);
    let (count, limited, reason, message) = match behavior {
        None => plain(bounds, stable),
        Some(_) => by_rules(bounds, stable, up, down, history, now),
    };
    (count, [able, Condition::limited(limited, reason, message)])
}

/// Recent proposals hold a change back: the highest of them from scaling down, the lowest from scaling up.
fn stabilize(
    current: i32,
    proposed: i32,
    with_rules: bool,
    (up, down): (SignedDuration, SignedDuration),
    history: &mut History,
    now: Timestamp,
) -> (i32, Condition) {
    let recent = |window: SignedDuration| {
        let fresh = history.recommendations.iter().filter(move |(at, _)| now.duration_since(*at) < window);
        fresh.map(|(_, count)| *count)
    };
    let highest = recent(down).max().unwrap_or(proposed).max(proposed);
    let lowest = recent(up).min().unwrap_or(proposed).min(proposed);
    let stable = if with_rules { current.max(lowest).min(highest) } else { highest };
    history.recommendations.push((now, proposed));
    let condition = match stable.cmp(&proposed) {
        std::cmp::Ordering::Greater => Condition::able(
            true,
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent recommendation",
        ),
        std::cmp::Ordering::Less => Condition::able(
            true,
            "ScaleUpStabilized",
            "recent recommendations were lower than current one, applying the lowest recent recommendation",
        ),
        std::cmp::Ordering::Equal => {
            Condition::able(true, "ReadyForNewScale", "recommended size matches current size")
        }
    };
    (stable, condition)
}

type Limited = (i32, bool, &'static str, &'static str);

const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const UP_LIMIT: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const IN_RANGE: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");

fn cut(
    desired: i32,
    floor: (i32, (&'static str, &'static str)),
    ceiling: (i32, (&'static str, &'static str)),
) -> Limited {
    if desired < floor.0 {
        (floor.0, true, floor.1.0, floor.1.1)
    } else if desired > ceiling.0 {
        (ceiling.0, true, ceiling.1.0, ceiling.1.1)
    } else {
        (desired, false, IN_RANGE.0, IN_RANGE.1)
    }
}

/// Without rules: at most twice as many at once.
fn plain(bounds: Bounds, desired: i32) -> Limited {
    let fastest = bounds.current.saturating_mul(2).max(SCALE_UP_FLOOR);
    let ceiling = if fastest < bounds.max { (fastest, UP_LIMIT) } else { (bounds.max, TOO_MANY) };
    cut(desired, (bounds.min, TOO_FEW), ceiling)
}

/// With rules: as fast as the policies allow, counted over their periods.
fn by_rules(
    bounds: Bounds,
    desired: i32,
    up: Option<&HPAScalingRules>,
    down: Option<&HPAScalingRules>,
    history: &History,
    now: Timestamp,
) -> Limited {
    let Bounds { current, min, max } = bounds;
    if desired > current {
        let fastest = up.map_or(i32::MAX, |rules| fastest_up(current, rules, history, now)).max(current);
        let ceiling = if fastest < max { (fastest, UP_LIMIT) } else { (max, TOO_MANY) };
        cut(desired, (min, TOO_FEW), ceiling)
    } else if desired < current {
        let slowest = down.map_or(0, |rules| fastest_down(current, rules, history, now)).min(current);
        let floor = if slowest > min { (slowest, DOWN_LIMIT) } else { (min, TOO_FEW) };
        cut(desired, floor, (max, TOO_MANY))
    } else {
        cut(desired, (min, TOO_FEW), (max, TOO_MANY))
    }
}

/// The count at the beginning of a policy's period.
fn at_start(current: i32, seconds: i32, history: &History, now: Timestamp) -> i32 {
    let window = SignedDuration::from_secs(i64::from(seconds));
    let sum = |changes: &[(Timestamp, i32)]| -> i32 {
        changes.iter().filter(|(at, _)| now.duration_since(*at) < window).map(|(_, by)| *by).sum()
    };
    current - sum(&history.ups) + sum(&history.downs)
}

fn fastest_up(current: i32, rules: &HPAScalingRules, history: &History, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let start = at_start(current, policy.period_seconds, history, now);
        match policy.type_.as_str() {
            "Percent" => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            _ => start.saturating_add(policy.value),
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        Some("Min") => proposals.min().unwrap_or(i32::MAX),
        _ => proposals.max().unwrap_or(i32::MAX),
    }
}

fn fastest_down(current: i32, rules: &HPAScalingRules, history: &History, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let start = at_start(current, policy.period_seconds, history, now);
        match policy.type_.as_str() {
            "Percent" => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            _ => start - policy.value,
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        // The smallest change leaves the most.
        Some("Min") => proposals.max().unwrap_or(0),
        _ => proposals.min().unwrap_or(0),
    }
}
