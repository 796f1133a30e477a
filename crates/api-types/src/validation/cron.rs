//! Schedules and time zones of cron jobs (crontab(5) with descriptors).

use serde_json::Value;

use super::get::{get, text};
use crate::field::{ErrorList, Path};

/// Fields of a schedule: smallest and largest number, and names from the smallest on.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];
const DESCRIPTORS: [&str; 7] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let at = path.child("schedule");
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        errors.required(&at, "");
    } else {
        if let Err(why) = check_schedule(schedule) {
            errors.invalid(&at, schedule, why);
        }
        if schedule.contains("TZ") {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.invalid(&at, schedule, detail);
        }
    }
    if let Some(zone) = get(spec, "timeZone").and_then(Value::as_str) {
        time_zone(errors, &path.child("timeZone"), zone);
    }
}

fn time_zone(errors: &mut ErrorList, path: &Path<'_>, zone: &str) {
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, zone, detail);
    } else if !zone.eq_ignore_ascii_case("utc") && jiff::tz::TimeZone::get(zone).is_err() {
        errors.invalid(path, zone, format!("unknown time zone {zone}"));
    }
}

/// What is wrong with a schedule, in the words of upstream's parser.
pub(super) fn check_schedule(schedule: &str) -> Result<(), String> {
    let schedule = match schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest).trim(),
        None => schedule,
    };
    if schedule.starts_with('@') {
        return check_descriptor(schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields
        .iter()
        .zip(FIELDS)
        .try_for_each(|(text, bounds)| text.split(',').try_for_each(|r| check_range(r, bounds)))
}

fn check_descriptor(text: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&text) {
        return Ok(());
    }
    match text.strip_prefix("@every ") {
        Some(duration) => duration
            .parse::<crate::time::GoDuration>()
            .map(drop)
            .map_err(|why| format!("failed to parse duration {text}: {why}")),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

fn check_range(text: &str, (min, max, names): (u32, u32, &[&str])) -> Result<(), String> {
    let (range, step) = match text.split('/').collect::<Vec<_>>()[..] {
        [range] => (range, None),
        [range, step] => (range, Some(step)),
        _ => return Err(format!("too many slashes: {text}")),
    };
    let number = |part: &str| -> Result<u32, String> {
        let named = names.iter().position(|n| n.eq_ignore_ascii_case(part));
        match named {
            Some(position) => Ok(min + u32::try_from(position).unwrap_or(0)),
            None => parse_number(part),
        }
    };
    let parts: Vec<&str> = range.split('-').collect();
    let (mut start, mut end) = (min, max);
    if !matches!(parts[0], "*" | "?") {
        start = number(parts[0])?;
        end = match parts.len() {
            1 if step.is_some() => max,
            1 => start,
            2 => number(parts[1])?,
            _ => return Err(format!("too many hyphens: {text}")),
        };
    }
    let step = step.map(parse_number).transpose()?.unwrap_or(1);
    if start < min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > max {
        return Err(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn parse_number(text: &str) -> Result<u32, String> {
    if text.starts_with('-') {
        return Err(format!("negative number ({text}) not allowed: {text}"));
    }
    text.parse().map_err(|_| {
        format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            crate::field::quote(text)
        )
    })
}
