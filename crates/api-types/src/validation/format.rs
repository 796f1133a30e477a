//! The `format`s that apiextensions validates; others say nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a text has the form that a format names.
pub(super) fn is_valid(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => super::check::parse_cidr(text).is_some(),
        "mac" => is_mac(text),
        "uri" => is_uri(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "date-time" | "datetime" => is_time(text),
        "duration" => text.parse::<crate::time::GoDuration>().is_ok(),
        "email" => text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@')),
        "hostname" => is_host(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(format, text),
        "byte" => is_base64(text),
        "ip" => text.parse::<IpAddr>().is_ok(),
        _ => true,
    }
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// An absolute path or a URL with a scheme, as Go's `url.ParseRequestURI` takes it.
fn is_uri(text: &str) -> bool {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return false;
    }
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let has_scheme = scheme.is_some_and(|s| {
        s.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    text.starts_with('/') || has_scheme
}

fn is_host(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.len() <= 253 && crate::name::dns1123_subdomain(text.trim_end_matches('.')).is_empty()
}

fn is_uuid(format: &str, text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let version = format.strip_prefix("uuid").and_then(|v| v.chars().next());
    plain.len() == 32
        && plain.bytes().all(|b| b.is_ascii_hexdigit())
        && version.is_none_or(|v| plain.chars().nth(12) == Some(v))
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}
