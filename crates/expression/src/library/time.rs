//! Times and durations, and their texts in Go's form.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::Unit;
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("timestamp.getFullYear(): int", Unit, |a| part(a, |t| t.year().into())),
    ("timestamp.getFullYear(string): int", Unit, |a| part(a, |t| t.year().into())),
    ("timestamp.getMonth(): int", Unit, |a| part(a, |t| i64::from(t.month()) - 1)),
    ("timestamp.getMonth(string): int", Unit, |a| part(a, |t| i64::from(t.month()) - 1)),
    ("timestamp.getDate(): int", Unit, |a| part(a, |t| t.day().into())),
    ("timestamp.getDate(string): int", Unit, |a| part(a, |t| t.day().into())),
    ("timestamp.getDayOfMonth(): int", Unit, |a| part(a, |t| i64::from(t.day()) - 1)),
    ("timestamp.getDayOfMonth(string): int", Unit, |a| part(a, |t| i64::from(t.day()) - 1)),
    ("timestamp.getDayOfWeek(): int", Unit, |a| part(a, |t| t.weekday().to_sunday_zero_offset().into())),
    ("timestamp.getDayOfWeek(string): int", Unit, |a| {
        part(a, |t| t.weekday().to_sunday_zero_offset().into())
    }),
    ("timestamp.getDayOfYear(): int", Unit, |a| part(a, |t| i64::from(t.day_of_year()) - 1)),
    ("timestamp.getDayOfYear(string): int", Unit, |a| part(a, |t| i64::from(t.day_of_year()) - 1)),
    ("timestamp.getHours(): int", Unit, |a| part(a, |t| t.hour().into())),
    ("timestamp.getHours(string): int", Unit, |a| part(a, |t| t.hour().into())),
    ("timestamp.getMinutes(): int", Unit, |a| part(a, |t| t.minute().into())),
    ("timestamp.getMinutes(string): int", Unit, |a| part(a, |t| t.minute().into())),
    ("timestamp.getSeconds(): int", Unit, |a| part(a, |t| t.second().into())),
    ("timestamp.getSeconds(string): int", Unit, |a| part(a, |t| t.second().into())),
    ("timestamp.getMilliseconds(): int", Unit, |a| part(a, |t| t.millisecond().into())),
    ("timestamp.getMilliseconds(string): int", Unit, |a| part(a, |t| t.millisecond().into())),
    ("duration.getHours(): int", Unit, |a| whole(a, 3_600_000_000_000)),
    ("duration.getMinutes(): int", Unit, |a| whole(a, 60_000_000_000)),
    ("duration.getSeconds(): int", Unit, |a| whole(a, 1_000_000_000)),
    ("duration.getMilliseconds(): int", Unit, |a| whole(a, 1_000_000)),
];

fn part<'a>(args: &[Value<'a>], of: fn(&Zoned) -> i64) -> Outcome<'a> {
    let (time, zone) = match args {
        [Value::Timestamp(time)] => (time, TimeZone::UTC),
        [Value::Timestamp(time), Value::String(zone)] => (time, zone_named(zone)?),
        _ => return mismatch(),
    };
    Ok(Value::Int(of(&time.to_zoned(zone))))
}

/// A zone of the time-zone database, or an offset such as `-05:30`.
fn zone_named(name: &str) -> Result<TimeZone, Error> {
    let unknown = || Error::new(format!("unknown time zone {name}"));
    let Some((hours, minutes)) = name.split_once(':') else {
        return TimeZone::get(name).map_err(|_| unknown());
    };
    let negative = hours.starts_with('-');
    let (hours, minutes): (i32, i32) = match (hours.parse(), minutes.parse()) {
        (Ok(hours), Ok(minutes)) => (hours, minutes),
        _ => return Err(unknown()),
    };
    let seconds = hours
        .saturating_mul(3600)
        .saturating_add(if negative { -minutes } else { minutes }.saturating_mul(60));
    jiff::tz::Offset::from_seconds(seconds).map(TimeZone::fixed).map_err(|_| unknown())
}

fn whole<'a>(args: &[Value<'a>], unit: i64) -> Outcome<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => mismatch(),
    }
}

/// A duration in Go's form (`1h30m`, `1.5s`, `-3ms`), in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let unit = unit(name)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        let kept = &fraction[..fraction.len().min(18)];
        if !kept.is_empty() {
            let parts: i128 = kept.parse().ok()?;
            total = total.checked_add(parts * unit / 10i128.pow(kept.len() as u32))?;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn unit(name: &str) -> Option<i128> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A duration as CEL prints it: seconds with as many decimals as needed.
pub(crate) fn duration_text(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// The earliest time that is a zero value.
pub(super) fn is_epoch(time: &Timestamp) -> bool {
    *time == Timestamp::UNIX_EPOCH
}
