//! Times and durations as the API writes them: RFC 3339 in UTC, Go duration text, and the short ages of tables.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// `2024-05-01T10:00:00Z`: the form of `metav1.Time`, fractions dropped.
pub fn format_seconds(time: Timestamp) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    PRINTER.timestamp_to_string(&time)
}

/// `2024-05-01T10:00:00.000000Z`: the form of `metav1.MicroTime`.
pub fn format_micros(time: Timestamp) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
    PRINTER.timestamp_to_string(&time)
}

/// Reads an RFC 3339 time.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A signed duration in nanoseconds, with Go's text form: `1h30m`, `1.5s`, `100ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub i64);

const SECOND: i64 = 1_000_000_000;
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

impl GoDuration {
    /// A whole number of seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * SECOND)
    }

    /// As a standard duration; negative ones are zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Seconds, fraction dropped.
    pub const fn as_secs(self) -> i64 {
        self.0 / SECOND
    }
}

/// Why a text is not a duration; worded as Go words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not the form at all, or out of range.
    #[error("time: invalid duration {0}")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {0}")]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {1} in duration {0}")]
    UnknownUnit(String, String),
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let quoted = || crate::field::quote(text);
        let invalid = || DurationError::Invalid(quoted());
        let (negative, mut rest) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (whole, after) = digits(rest);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => digits(after),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            if unit.is_empty() {
                return Err(DurationError::MissingUnit(quoted()));
            }
            let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| i128::from(*scale));
            let scale =
                scale.ok_or_else(|| DurationError::UnknownUnit(quoted(), crate::field::quote(unit)))?;
            let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
            // Beyond 18 digits a fraction is below a nanosecond for every unit.
            let fraction = &fraction[..fraction.len().min(18)];
            let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| invalid())? };
            let part = part * scale / 10i128.pow(u32::try_from(fraction.len()).unwrap_or(18));
            total = whole.checked_mul(scale).and_then(|w| total.checked_add(w + part)).ok_or_else(invalid)?;
            rest = after;
        }
        let signed = if negative { -total } else { total };
        i64::try_from(signed).map(Self).map_err(|_| invalid())
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (scale, unit) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => {
                let seconds = nanos / 1_000_000_000;
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                f.write_str(sign)?;
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if seconds >= 60 {
                    write!(f, "{minutes}m")?;
                }
                return write!(f, "{}s", decimal(nanos % 60_000_000_000, 1_000_000_000));
            }
        };
        write!(f, "{sign}{}{unit}", decimal(nanos, scale))
    }
}

/// `value / scale` without trailing zeros; `scale` is a power of ten.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// An age in the form of table columns: `45s`, `5m30s`, `3h`, `2d4h`, `90d`, `3y`.
pub fn human_duration(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let pair = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        s if s < 120 => format!("{s}s"),
        s if s < 600 => pair(s / 60, "m", s % 60, "s"),
        s if s < 3 * HOUR => format!("{}m", s / 60),
        s if s < 8 * HOUR => pair(s / HOUR, "h", s / 60 % 60, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => pair(s / DAY, "d", s / HOUR % 24, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => pair(s / YEAR, "y", s / DAY % 365, "d"),
        s => format!("{}y", s / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = parse("2024-05-01T10:00:00.1234567Z").unwrap();
        assert_eq!(format_seconds(time), "2024-05-01T10:00:00Z");
        assert_eq!(format_micros(time), "2024-05-01T10:00:00.123456Z");
        assert_eq!(format_micros(parse("2024-05-01T12:00:00+02:00").unwrap()), "2024-05-01T10:00:00.000000Z");
    }

    #[test]
    fn durations() {
        let cases = [
            ("0", "0s"),
            ("1h", "1h0m0s"),
            ("90s", "1m30s"),
            ("1.5s", "1.5s"),
            ("1h1ns", "1h0m0.000000001s"),
            ("-100ms", "-100ms"),
            ("1500us", "1.5ms"),
            (".5m", "30s"),
        ];
        for (text, printed) in cases {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), printed, "{text}");
        }
        let errors = [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            ("x", "time: invalid duration \"x\""),
        ];
        for (text, message) in errors {
            assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn ages() {
        let cases =
            [(5, "5s"), (119, "119s"), (330, "5m30s"), (7200, "120m"), (93_600, "26h"), (187_200, "2d4h")];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text);
        }
    }
}
