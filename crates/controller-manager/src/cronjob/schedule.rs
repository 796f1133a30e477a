//! Cron schedules: five fields (minute, hour, day of month, month, day of week), the `@daily` kind, and `@every`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// When something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// At matching minutes.
    Fields(Fields),
    /// Again and again after this time.
    Every(SignedDuration),
}

/// Sets of allowed values, one bit per value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days of month and of week are both restricted: then either may match.
    either_day: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a schedule; `None` when it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(every) = fields.strip_prefix("@every ") {
            let period: component::duration::GoDuration = every.trim().parse().ok()?;
            let seconds = i64::try_from(period.0.as_secs()).ok()?.max(1);
            return Some(Self::Every(SignedDuration::from_secs(seconds)));
        }
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else { return None };
        let star = |text: &str| text.starts_with('*') || text == "?";
        let weekday_bits = field(weekdays, 0, 7, &WEEKDAYS)?;
        Some(Self::Fields(Fields {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            // Seven is Sunday as well.
            weekdays: (weekday_bits | weekday_bits >> 7 & 1) & 0x7f,
            either_day: !star(days) && !star(weekdays),
        }))
    }

    /// The first time after `after`; `None` when there is none in five years.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(period) => after.checked_add(*period).ok(),
            Self::Fields(fields) => fields.next(after, zone),
        }
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut at = after.to_zoned(zone.clone()).datetime();
        at = at.date().at(at.hour(), at.minute(), 0, 0).checked_add(1.minute()).ok()?;
        let end = at.checked_add(5.years()).ok()?;
        while at < end {
            let date = at.date();
            at = if self.months >> date.month() & 1 == 0 {
                date.first_of_month().checked_add(1.month()).ok()?.at(0, 0, 0, 0)
            } else if !self.day_matches(at) {
                date.checked_add(1.day()).ok()?.at(0, 0, 0, 0)
            } else if self.hours >> at.hour() & 1 == 0 {
                date.at(at.hour(), 0, 0, 0).checked_add(1.hour()).ok()?
            } else if self.minutes >> at.minute() & 1 == 0 {
                at.checked_add(1.minute()).ok()?
            } else {
                // A time that the clocks skip, or show twice, is taken once.
                let found = zone.to_ambiguous_zoned(at).compatible().ok()?.timestamp();
                if found > after {
                    return Some(found);
                }
                at.checked_add(1.minute()).ok()?
            };
        }
        None
    }

    fn day_matches(&self, at: DateTime) -> bool {
        let day = self.days >> at.day() & 1 == 1;
        let weekday = self.weekdays >> at.date().weekday().to_sunday_zero_offset() & 1 == 1;
        if self.either_day { day || weekday } else { day && weekday }
    }
}

/// The bits of one field: lists of values, ranges and steps.
fn field(text: &str, lowest: u32, highest: u32, names: &[&str]) -> Option<u64> {
    let value = |text: &str| -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = names.iter().position(|name| *name == lower).and_then(|at| u32::try_from(at).ok());
        let number = named.map(|at| at + if names.len() == 12 { 1 } else { 0 });
        number.or_else(|| text.parse().ok()).filter(|number| (lowest..=highest).contains(number))
    };
    let mut bits = 0u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range {
            "*" | "?" => (lowest, if names.len() == 7 { 6 } else { highest }),
            range => match range.split_once('-') {
                Some((first, last)) => (value(first)?, value(last)?),
                None => (value(range)?, if step.is_some() { highest } else { value(range)? }),
            },
        };
        if first > last {
            return None;
        }
        for number in (first..=last).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
            bits |= 1 << number;
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule).unwrap();
        schedule.next(after.parse().unwrap(), &TimeZone::UTC).map(|at| at.to_string()).unwrap_or_default()
    }

    #[test]
    fn times_are_found() {
        for (schedule, after, expected) in [
            ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:50:10Z", "2026-01-01T01:00:00Z"),
            ("0 9-17/4 * * mon-fri", "2026-01-02T17:00:00Z", "2026-01-05T09:00:00Z"),
            ("30 2 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T02:30:00Z"),
            ("0 0 13 * 5", "2026-01-10T00:00:00Z", "2026-01-13T00:00:00Z"),
            ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@monthly", "2026-01-15T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"),
            ("0 0 30 2 *", "2026-01-01T00:00:00Z", ""),
        ] {
            assert_eq!(next(schedule, after), expected, "{schedule}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "5-2 * * * *", "*/0 * * * *", "@often"]
        {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }
}
