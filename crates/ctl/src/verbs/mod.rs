//! One file per verb, or per family of verbs that share their shape.

pub mod api;
pub mod config;
pub mod create;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod edit;
pub mod exec;
pub mod expose;
pub mod get;
pub mod labels;
pub mod logs;
pub mod node;
pub mod patch;
pub mod port_forward;
pub mod rolling_update;
pub mod rollout;
pub mod run;
pub mod scale;
pub mod set;
pub mod wait;
mod watch;
pub mod write;

use std::time::Duration;

/// Parses a duration as users of kubectl write it: `30s`, `5m`, `1h30m`, `500ms`; a bare number is seconds.
///
/// # Errors
/// When it is none of these.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 5m or 1h30m");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("30", 30_000), ("30s", 30_000), ("1h30m", 5_400_000), ("500ms", 500), ("1.5s", 1500), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["s", "5x", "five", "5 s", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
