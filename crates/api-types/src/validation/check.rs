//! Rules that many kinds share.

use std::net::IpAddr;

use serde_json::Value;

use super::get::{entries, get, int, text};
use crate::field::{BadValue, Error, ErrorList, Path};
use crate::name;

pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
pub(super) const POSITIVE: &str = "must be greater than zero";
pub(super) const IMMUTABLE: &str = "field is immutable";
/// What a file mode may be.
pub(super) const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// The number, when set, is not negative.
pub(super) fn not_negative(errors: &mut ErrorList, path: &Path<'_>, value: &Value, key: &str) {
    if let Some(number) = int(value, key).filter(|n| *n < 0) {
        errors.invalid(&path.child(key), number, NOT_NEGATIVE);
    }
}

/// A field that must be one of `supported`; an absent one is an error of its own.
pub(super) fn one_of(errors: &mut ErrorList, path: &Path<'_>, value: &str, supported: &[&str]) {
    if value.is_empty() {
        errors.required(path, "");
    } else {
        one_of_if_set(errors, path, value, supported);
    }
}

/// A field that must be one of `supported` when set.
pub(super) fn one_of_if_set(errors: &mut ErrorList, path: &Path<'_>, value: &str, supported: &[&str]) {
    if !value.is_empty() && !supported.contains(&value) {
        errors.not_supported(path, value, supported);
    }
}

/// A value as upstream's internal type prints it; `null` when absent.
pub(super) fn internal(type_name: &str, value: Option<&Value>) -> BadValue {
    BadValue::Raw(crate::go_dump::compact(type_name, value))
}

/// A list of values of one type, as [`internal`].
pub(super) fn internal_list(type_name: &str, values: Option<&Value>) -> BadValue {
    match values.and_then(Value::as_array) {
        None => BadValue::Json(Value::Null),
        Some(values) => {
            let shown: Vec<String> =
                values.iter().map(|v| crate::go_dump::compact(type_name, Some(v))).collect();
            BadValue::Raw(format!("[{}]", shown.join(",")))
        }
    }
}

/// The field, a struct of the type, may not change.
pub(super) fn immutable_struct(
    errors: &mut ErrorList,
    path: &Path<'_>,
    (new, old): (&Value, &Value),
    key: &str,
    type_name: &str,
) {
    if get(new, key) != get(old, key) {
        errors.invalid(&path.child(key), internal(type_name, get(new, key)), IMMUTABLE);
    }
}

/// The field may not change.
pub(super) fn immutable(errors: &mut ErrorList, path: &Path<'_>, new: &Value, old: &Value, key: &str) {
    let (new, old) = (get(new, key), get(old, key));
    if new != old {
        errors.invalid(&path.child(key), BadValue::maybe(new), IMMUTABLE);
    }
}

/// Keys and values of labels.
pub(super) fn labels(errors: &mut ErrorList, path: &Path<'_>, owner: &Value, key: &str) {
    let path = path.child(key);
    for (key, value) in entries(owner, key) {
        errors.invalid_each(&path, key, name::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        errors.invalid_each(&path, value, name::label_value(value));
    }
}

/// A required DNS-1123 label.
pub(super) fn label(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    if value.is_empty() {
        errors.required(path, "");
    } else {
        errors.invalid_each(path, value, name::dns1123_label(value));
    }
}

/// A required DNS-1123 subdomain.
pub(super) fn subdomain(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    if value.is_empty() {
        errors.required(path, "");
    } else {
        errors.invalid_each(path, value, name::dns1123_subdomain(value));
    }
}

/// A relative path that stays below its root.
pub(super) fn descending_path(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    if value.starts_with('/') {
        errors.invalid(path, value, "must be a relative path");
    }
    no_backsteps(errors, path, value);
}

/// As [`descending_path`], and not beginning with two dots, which are reserved for atomic updates.
pub(super) fn unreserved_path(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    descending_path(errors, path, value);
    if value.starts_with("..") && !value.starts_with("../") && value != ".." {
        errors.invalid(path, value, "must not start with '..'");
    }
}

pub(super) fn no_backsteps(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    if value.split('/').any(|part| part == "..") {
        errors.invalid(path, value, "must not contain '..'");
    }
}

/// A port number or the name of one.
pub(super) fn port(errors: &mut ErrorList, path: &Path<'_>, value: Option<&Value>) {
    match value {
        Some(Value::String(text)) => errors.invalid_each(path, text.as_str(), name::port_name(text)),
        other => {
            let number = other.and_then(Value::as_i64).unwrap_or(0);
            errors.invalid_each(path, number, name::port_number(number));
        }
    }
}

/// A file mode, when set.
pub(super) fn mode(errors: &mut ErrorList, path: &Path<'_>, value: &Value, key: &str) {
    if let Some(mode) = int(value, key).filter(|m| !(0..=0o777).contains(m)) {
        errors.invalid(&path.child(key), mode, FILE_MODE);
    }
}

/// An IP address. Forms that readers disagree about are refused unless they are stored already (KEP-4858).
pub(super) fn ip(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    if parse_ip(value).is_none() {
        return errors.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    let detail = match value.parse::<IpAddr>() {
        Err(_) => "must not have leading 0s",
        Ok(ip) if is_mapped(ip) => "must not be an IPv4-mapped IPv6 address",
        Ok(_) => return,
    };
    errors.push(Error::ratcheting(path, value, detail));
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

pub(super) fn parse_ip(value: &str) -> Option<IpAddr> {
    value.parse().ok().or_else(|| {
        let octets: Vec<u8> = value
            .split('.')
            .map(|part| if part.len() <= 4 { part.parse().ok() } else { None })
            .collect::<Option<_>>()?;
        <[u8; 4]>::try_from(octets).ok().map(IpAddr::from)
    })
}

/// A CIDR range.
pub(super) fn cidr(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    let Some((address, length)) = parse_cidr(value) else {
        return errors.invalid(
            path,
            value,
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        );
    };
    if let Some(detail) = ambiguous_cidr(value, address, length) {
        errors.push(Error::ratcheting(path, value, detail));
    }
}

fn ambiguous_cidr(value: &str, address: IpAddr, length: u8) -> Option<String> {
    let (text, digits) = value.split_once('/')?;
    if text.parse::<IpAddr>().is_err() || (digits.len() > 1 && digits.starts_with('0')) {
        return Some("must not have leading 0s in IP or prefix length".to_owned());
    }
    if is_mapped(address) {
        return Some("must not have an IPv4-mapped IPv6 address".to_owned());
    }
    (masked(address, length) != address).then(|| "must not have bits set beyond the prefix length".to_owned())
}

/// The address with all bits beyond the prefix cleared.
pub(super) fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::from((u32::from(ip) & mask).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::from((u128::from(ip) & mask).to_be_bytes())
        }
    }
}

/// A CIDR range in the one form that is accepted in new fields.
pub(super) fn canonical_cidr(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    let before = errors.len();
    cidr(errors, path, value);
    if errors.len() > before {
        return;
    }
    if let Some((address, length)) = parse_cidr(value) {
        let canonical = format!("{address}/{length}");
        if canonical != value {
            errors.invalid(path, value, format!("must be in canonical form ({canonical:?})"));
        }
    }
}

/// Address and prefix length.
pub(super) fn parse_cidr(value: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = value.split_once('/')?;
    let (address, length) = (parse_ip(address)?, length.parse::<u8>().ok()?);
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// A name that is not empty and valid as one segment of a URL path.
pub(super) fn path_segment(errors: &mut ErrorList, path: &Path<'_>, value: &str) {
    if value.is_empty() {
        errors.required(path, "");
    } else {
        errors.invalid_each(path, value, name::path_segment(value, false));
    }
}

/// A reference to a Secret or ConfigMap by name.
pub(super) fn reference_name(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
    subdomain(errors, &path.child("name"), text(owner, "name"));
}

/// The value printed as Go prints a struct of its internal types: all fields, by their Go names, in their order.
pub(super) fn go_struct(value: &Value, fields: &[(&str, &str)]) -> BadValue {
    BadValue::Raw(go_struct_text(value, fields))
}

pub(super) fn go_struct_text(value: &Value, fields: &[(&str, &str)]) -> String {
    let parts: Vec<String> = fields
        .iter()
        .map(|(go, json)| format!("{:?}:{}", go, value.get(json).unwrap_or(&Value::Null)))
        .collect();
    format!("{{{}}}", parts.join(","))
}
