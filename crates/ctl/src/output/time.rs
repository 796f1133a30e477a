//! Moments and how long ago they were.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// `Thu, 01 Jan 2026 00:00:00 +0000`, in the local time zone.
pub fn moment(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    match text.parse::<Timestamp>() {
        Ok(moment) => moment.to_zoned(TimeZone::system()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
        Err(_) if text.is_empty() => "<unset>".to_owned(),
        Err(_) => text.to_owned(),
    }
}

/// How long ago a moment was; `<unknown>` without one.
pub fn age(value: &Value) -> String {
    let Some(then) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    duration((Timestamp::now().as_second() - then.as_second()).max(0))
}

/// Seconds in the largest unit, and the next one while that says much: `90s`, `3m20s`, `45m`, `5h30m`, `2d4h`, `3y20d`.
pub fn duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, letter: char, small: i64, small_letter: char| {
        let rest = seconds % large / small;
        let rest = if rest == 0 { String::new() } else { format!("{rest}{small_letter}") };
        format!("{}{letter}{rest}", seconds / large)
    };
    match seconds {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(MINUTE, 'm', 1, 's'),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(HOUR, 'h', MINUTE, 'm'),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(DAY, 'd', HOUR, 'h'),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(YEAR, 'y', DAY, 'd'),
        s => format!("{}y", s / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_grow_coarser() {
        let shown = [0, 119, 120, 200, 600, 10_799, 10_800, 19_800, 100_000, 187_200, 1_000_000, 94_694_400];
        let expected =
            ["0s", "119s", "2m", "3m20s", "10m", "179m", "3h", "5h30m", "27h", "2d4h", "11d", "3y1d"];
        assert_eq!(shown.map(duration), expected);
    }
}
