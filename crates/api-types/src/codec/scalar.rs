//! Scalars whose JSON text is not their protobuf form: times and durations.

use std::fmt::Write;

/// Seconds from the year 1 to 1970: Go's zero time as a Unix time.
pub(crate) const ZERO_TIME: i64 = -62_135_596_800;

/// Seconds and nanoseconds since 1970 of RFC 3339 text as Go's `time.Parse` accepts it.
pub(crate) fn parse_time(text: &str) -> Option<(i64, u32)> {
    let b = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = b.get(from..from + len)?;
        digits.iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let at = |index: usize, byte: u8| b.get(index) == Some(&byte);
    if !(at(4, b'-') && at(7, b'-') && at(10, b'T') && at(13, b':') && at(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let mut rest = &b[19..];
    let mut nanos = 0u32;
    if let [b'.' | b',', tail @ ..] = rest {
        let digits = tail.iter().take_while(|d| d.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for digit in tail[..digits].iter().chain(std::iter::repeat(&b'0')).take(9) {
            nanos = nanos * 10 + u32::from(digit - b'0');
        }
        rest = &tail[digits..];
    }
    let offset = match rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), zone @ ..] if zone.len() == 5 && zone[2] == b':' => {
            let start = b.len() - 5;
            let (hours, minutes) = (number(start, 2)?, number(start + 3, 2)?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some((seconds, nanos))
}

/// RFC 3339 in UTC, whole seconds: how `meta/v1.Time` prints.
pub(crate) fn format_time(seconds: i64) -> String {
    let mut out = String::with_capacity(20);
    write_time(&mut out, seconds);
    out.push('Z');
    out
}

/// RFC 3339 in UTC with six fractional digits: how `meta/v1.MicroTime` prints.
pub(crate) fn format_micro_time(seconds: i64, nanos: u32) -> String {
    let mut out = String::with_capacity(27);
    write_time(&mut out, seconds);
    // Writing to a String cannot fail.
    let _ = write!(out, ".{:06}Z", nanos / 1000);
    out
}

fn write_time(out: &mut String, seconds: i64) {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let pair = |out: &mut String, value: i64, before: char| {
        out.push(before);
        out.push((b'0' + (value / 10) as u8) as char);
        out.push((b'0' + (value % 10) as u8) as char);
    };
    // Writing to a String cannot fail.
    let _ = write!(out, "{year:04}");
    pair(out, month, '-');
    pair(out, day, '-');
    pair(out, rest / 3600, 'T');
    pair(out, rest / 60 % 60, ':');
    pair(out, rest % 60, ':');
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date; years are shifted to begin in March so that the leap day is last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Nanoseconds of Go duration text (`1h30m`, `1.5s`, `-2us`); `None` when malformed or out of range.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, tail) = tail.split_at(unit_len);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
            return None;
        }
        total += whole.bytes().fold(0i128, |n, d| n * 10 + i128::from(d - b'0')) * scale;
        let mut weight = scale;
        for digit in fraction.bytes().take(18) {
            weight /= 10;
            total += i128::from(digit - b'0') * weight;
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Go's text of a duration: `1h30m0s`, `1.5s`, `20ms`, `0s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    if total == 0 {
        return "0s".to_string();
    }
    let below_second = [(1_000u64, 1u64, "ns"), (1_000_000, 1_000, "µs"), (1_000_000_000, 1_000_000, "ms")];
    if let Some((_, scale, unit)) = below_second.iter().find(|(limit, _, _)| total < *limit) {
        return format!("{sign}{}{unit}", decimal(total, *scale));
    }
    let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
    let minutes = total / 60_000_000_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

/// `value / scale` without trailing zeros; `scale` is a power of ten.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, mut fraction, mut width) = (value / scale, value % scale, scale.ilog10() as usize);
    if fraction == 0 {
        return whole.to_string();
    }
    while fraction % 10 == 0 {
        fraction /= 10;
        width -= 1;
    }
    format!("{whole}.{fraction:0width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip() {
        for text in
            ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "0001-01-01T00:00:00Z", "1999-12-31T00:00:01Z"]
        {
            let (seconds, nanos) = parse_time(text).unwrap();
            assert_eq!((format_time(seconds).as_str(), nanos), (text, 0));
        }
        assert_eq!(parse_time("2020-01-01T02:00:00.5+02:00"), parse_time("2020-01-01T00:00:00.500Z"));
        assert_eq!(parse_time("0001-01-01T00:00:00Z"), Some((ZERO_TIME, 0)));
        for text in [
            "",
            "soon",
            "2020-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2020-01-01T00:00:00",
            "2020-01-01 00:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        assert_eq!(format_micro_time(1, 20_000), "1970-01-01T00:00:01.000020Z");
    }

    #[test]
    fn durations_take_go_form() {
        for (text, canonical) in [
            ("60s", "1m0s"),
            ("1.5h", "1h30m0s"),
            ("0", "0s"),
            ("1500ms", "1.5s"),
            ("-2us", "-2µs"),
            ("1m0.000000001s", "1m0.000000001s"),
            ("100h", "100h0m0s"),
        ] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), canonical, "{text}");
        }
        for text in ["", "1", "s", "1x", "1.2.3s", "-"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
