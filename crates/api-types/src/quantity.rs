//! `resource.Quantity`: fixed-point numbers with SI suffixes, such as `100m`, `1.5Gi` or `1e3`.
//!
//! A quantity is an exact number of nano-units (finer values are rounded up, away from zero) of at most 2^63-1 units,
//! plus the notation it was written in. Equality and order are those of the number.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
/// The largest number of units, as nano-units; larger values are read as this.
const MAX: i128 = i64::MAX as i128 * NANO;

/// The family of suffixes a quantity is printed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `1e3`
    DecimalExponent,
    /// `Ki`, `Mi`, …: powers of 1024.
    BinarySi,
    /// `m`, `k`, `M`, …: powers of 1000.
    #[default]
    DecimalSi,
}

/// A number with a suffix; see the module's description.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is not a quantity; worded as upstream words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the form of a quantity.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix does not exist.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// Suffixes with their power of ten.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Suffixes with their power of two.
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole number of units.
    pub const fn new(value: i64, format: Format) -> Self {
        Self { nanos: value as i128 * NANO, format }
    }

    /// A number of thousandths.
    pub const fn from_milli(value: i64, format: Format) -> Self {
        Self { nanos: value as i128 * 1_000_000, format }
    }

    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }

    /// The notation it was read in.
    pub const fn format(self) -> Format {
        self.format
    }

    /// Units, rounded up (away from zero).
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths of a unit, rounded up (away from zero).
    pub fn milli_value(self) -> i64 {
        self.scaled(1_000_000)
    }

    /// Whether it is a whole number of units.
    pub const fn is_integer(self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether it is a whole number of thousandths.
    pub const fn is_milli(self) -> bool {
        self.nanos % 1_000_000 == 0
    }

    /// -1, 0 or 1.
    pub const fn signum(self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// As a floating-point number of units.
    pub fn to_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// Rounded up (away from zero) to a multiple of `10^scale` units; `scale` is -9 to 18.
    #[must_use]
    pub fn round_up(self, scale: i32) -> Self {
        let step = 10i128.pow(u32::try_from(scale + 9).unwrap_or(0));
        Self { nanos: div_up(self.nanos, step) * step, format: self.format }
    }

    fn scaled(self, step: i128) -> i64 {
        let units = div_up(self.nanos, step);
        i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
    }

    /// A sum takes the notation of its first part that is not zero.
    fn joined_format(self, other: Self) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }
}

fn div_up(value: i128, step: i128) -> i128 {
    let quotient = value / step;
    if value % step == 0 { quotient } else { quotient + value.signum() }
}

impl std::ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos), format: self.joined_format(other) }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_sub(other.nanos), format: self.joined_format(other) }
    }
}

impl std::ops::AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::ops::SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::ops::Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self { nanos: -self.nanos, format: self.format }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self::ZERO, |a, b| a + b)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl TryFrom<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> for Quantity {
    type Error = ParseError;
    fn try_from(
        quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity,
    ) -> Result<Self, ParseError> {
        quantity.0.parse()
    }
}

impl From<Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Format);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        if !is_suffix_form(suffix) {
            return Err(ParseError::Format);
        }
        let (exponent10, exponent2, format) = suffix_scale(suffix).ok_or(ParseError::Suffix)?;
        let nanos = nanos(whole, fraction, exponent10, exponent2);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, format })
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `[eEinumkKMGTP]*[-+]?[0-9]*`
fn is_suffix_form(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit())
}

fn suffix_scale(suffix: &str) -> Option<(i32, u32, Format)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((*power, 0, Format::DecimalSi));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((0, *power, Format::BinarySi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse().ok().map(|power| (power, 0, Format::DecimalExponent))
}

/// `whole.fraction × 10^exponent10 × 2^exponent2` in nano-units, rounded up, at most [`MAX`].
fn nanos(whole: &str, fraction: &str, exponent10: i32, exponent2: u32) -> i128 {
    // Digits beyond these are below a nano-unit for every suffix but the largest; they only round up.
    let (kept, dropped) = fraction.split_at(fraction.len().min(18));
    let sticky = dropped.bytes().any(|b| b != b'0');
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(kept.bytes()) {
        let next = mantissa.checked_mul(10).and_then(|m| m.checked_add(i128::from(digit - b'0')));
        let Some(next) = next else { return MAX };
        mantissa = next;
    }
    if mantissa == 0 {
        return i128::from(sticky);
    }
    let Some(shifted) = mantissa.checked_mul(1i128 << exponent2) else { return MAX };
    let power = exponent10.saturating_add(9).saturating_sub(i32::try_from(kept.len()).unwrap_or(18));
    let scaled = match u32::try_from(power) {
        Ok(up) => 10i128.checked_pow(up).and_then(|scale| shifted.checked_mul(scale)).unwrap_or(MAX),
        Err(_) => match 10i128.checked_pow(power.unsigned_abs()) {
            Some(scale) => div_up(shifted, scale) + i128::from(sticky && shifted % scale == 0),
            None => 1,
        },
    };
    scaled.min(MAX)
}

/// The canonical form: no fraction, the largest suffix that keeps the value exact.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.format == Format::BinarySi && !small && self.is_integer() {
            let (mut value, mut power) = (self.nanos / NANO, 0);
            while value % 1024 == 0 && power < BINARY.len() {
                value /= 1024;
                power += 1;
            }
            let suffix = if power == 0 { "" } else { BINARY[power - 1].0 };
            return write!(f, "{value}{suffix}");
        }
        let (mut value, mut power) = (self.nanos, 0);
        while value % 1000 == 0 && power < DECIMAL.len() - 1 {
            value /= 1000;
            power += 1;
        }
        let (suffix, exponent) = DECIMAL[power];
        match (self.format, exponent) {
            (Format::DecimalExponent, 0) => write!(f, "{value}"),
            (Format::DecimalExponent, _) => write!(f, "{value}e{exponent}"),
            _ => write!(f, "{value}{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).unwrap().to_string()
    }

    #[test]
    fn canonical_forms() {
        let cases = [
            ("0", "0"),
            ("0.0Gi", "0"),
            ("1000m", "1"),
            ("0.1", "100m"),
            ("1500m", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("12e5", "1200e3"),
            ("1E", "1E"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1.5m", "1500u"),
            ("0.0000000001", "1n"),
            ("-1.5", "-1500m"),
            ("+1", "1"),
            (".5", "500m"),
            ("1.", "1"),
            ("9223372036854775807", "9223372036854775807"),
            ("9999999999999999999E", "9223372036854775807"),
            ("100000000000000000000000000000000000000000", "9223372036854775807"),
            ("1e-12", "1e-9"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn errors() {
        let cases = [
            ("", ParseError::Format),
            ("a", ParseError::Format),
            ("1 Gi", ParseError::Format),
            ("1Gi1x", ParseError::Format),
            ("1gi", ParseError::Format),
            ("1K", ParseError::Suffix),
            ("1e", ParseError::Suffix),
            ("1mm", ParseError::Suffix),
        ];
        for (text, expected) in cases {
            assert_eq!(Quantity::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn arithmetic() {
        let q = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!((q("0") + q("1Gi")).to_string(), "1Gi");
        assert_eq!((q("1500m") + q("1Gi")).to_string(), "1073741825500m");
        assert_eq!((q("1") - q("200m")).to_string(), "800m");
        assert_eq!(q("1001m").value(), 2);
        assert_eq!(q("-1001m").value(), -2);
        assert_eq!(q("1u").milli_value(), 1);
        assert_eq!(q("1u").round_up(-3).to_string(), "1m");
        assert!(q("1Ki") > q("1k"));
    }

    proptest! {
        #[test]
        fn printed_form_is_a_fixed_point(n in any::<i64>(), suffix in "(|n|u|m|k|M|G|Ki|Mi|Gi|e3)") {
            let read = Quantity::parse(&format!("{n}{suffix}")).unwrap();
            let again = Quantity::parse(&read.to_string()).unwrap();
            prop_assert_eq!(read, again);
            prop_assert_eq!(read.to_string(), again.to_string());
        }

        #[test]
        fn never_panics(text in "[-+]?[0-9.]{0,40}[a-zA-Z]{0,3}[-+]?[0-9]{0,12}") {
            if let Ok(q) = Quantity::parse(&text) {
                let _shown = q.to_string();
            }
        }
    }
}
