//! The name rules of the API: DNS labels, qualified names, label values, keys and ports.
//!
//! Every check returns the list of what is wrong, empty when the value is valid. The sentences are those that
//! upstream's users know, including the pattern they quote. The matching itself is by hand over bytes: it runs
//! for each label of each object written.

/// Longest DNS label and longest name part of a qualified name (RFC 1123).
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const DNS1123_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1123_SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const DNS1035_LABEL_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const WILDCARD_TEXT: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// A function that lists what is wrong with a name; `prefix` is true for a `generateName`.
pub type Rule = fn(name: &str, prefix: bool) -> Vec<String>;

/// Any name that fits into a URL path.
pub fn path_segment_rule(name: &str, prefix: bool) -> Vec<String> {
    path_segment(name, prefix)
}

/// DNS-1123 subdomain: the rule of most kinds.
pub fn subdomain_rule(name: &str, prefix: bool) -> Vec<String> {
    dns1123_subdomain(&masked(name, prefix))
}

/// DNS-1123 label, such as namespaces.
pub fn label_rule(name: &str, prefix: bool) -> Vec<String> {
    dns1123_label(&masked(name, prefix))
}

/// DNS-1035 label, such as services.
pub fn label1035_rule(name: &str, prefix: bool) -> Vec<String> {
    dns1035_label(&masked(name, prefix))
}

/// A prefix may end in a dash, because the generated suffix follows it.
fn masked(name: &str, prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(rest) if prefix && name.len() > 1 => {
            let mut kept: String = rest.to_owned();
            kept.pop();
            kept.push('a');
            kept.into()
        }
        _ => name.into(),
    }
}

/// DNS-1123 label (RFC 1123): at most 63 of `a-z0-9-`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = max_length(value, LABEL_MAX);
    if !is_dns1123_label_form(value) {
        if value.split('.').all(is_dns1123_label_form) {
            errors.push("must not contain dots".into());
        } else {
            errors.push(pattern(DNS1123_LABEL_TEXT, DNS1123_LABEL, &["my-name", "123-abc"]));
        }
    }
    errors
}

/// DNS-1123 subdomain: dotted labels, at most 253 bytes.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = max_length(value, SUBDOMAIN_MAX);
    if !value.split('.').all(is_dns1123_label_form) {
        errors.push(pattern(DNS1123_SUBDOMAIN_TEXT, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// DNS-1123 subdomain that may hold upper-case letters and underscores inside, as CSI driver names may.
pub fn dns1123_subdomain_ignoring_case(value: &str) -> Vec<String> {
    dns1123_subdomain(&value.to_ascii_lowercase())
}

/// DNS-1035 label: as DNS-1123, but starting with a letter.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = max_length(value, LABEL_MAX);
    if !is_dns1123_label_form(value) || value.as_bytes()[0].is_ascii_digit() {
        errors.push(pattern(DNS1035_LABEL_TEXT, DNS1035_LABEL, &["my-name", "abc-123"]));
    }
    errors
}

/// `*.` and a DNS-1123 subdomain.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = max_length(value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(is_dns1123_label_form)) {
        let form = format!("\\*\\.{DNS1123_SUBDOMAIN}");
        errors.push(pattern(WILDCARD_TEXT, &form, &["*.example.com"]));
    }
    errors
}

/// A label key, annotation key or the like: `[dns-subdomain/]name`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".into());
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
        _ => {
            let form = pattern(QUALIFIED_TEXT, QUALIFIED, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a qualified name {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    } else {
        errors.extend(max_bytes(name, LABEL_MAX).map(|e| format!("name part {e}")));
    }
    if name.is_empty() || !is_label_value_form(name) {
        errors.push(format!(
            "name part {}",
            pattern(QUALIFIED_TEXT, QUALIFIED, &["MyName", "my.name", "123-abc"])
        ));
    }
    errors
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = max_bytes(value, LABEL_MAX).into_iter().collect();
    if !is_label_value_form(value) {
        errors.push(pattern(LABEL_VALUE_TEXT, LABEL_VALUE, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A C identifier.
pub fn c_identifier(value: &str) -> Vec<String> {
    let ok = value
        .bytes()
        .enumerate()
        .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
    if ok && !value.is_empty() {
        return Vec::new();
    }
    let text = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    vec![pattern(text, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// The name of an environment variable: printable ASCII without `=` (KEP-4369).
pub fn env_var(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        return Vec::new();
    }
    let text =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
    vec![text.to_owned()]
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut errors = max_length(value, SUBDOMAIN_MAX);
    if value.is_empty()
        || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        let text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(pattern(text, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    if value == "." {
        errors.push("must not be '.'".into());
    } else if value == ".." {
        errors.push("must not be '..'".into());
    } else if value.starts_with("..") {
        errors.push("must not start with '..'".into());
    }
    errors
}

/// A port name of a container or a service back end (IANA service name, RFC 6335).
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors = max_length(value, 15);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".into());
    }
    errors
}

/// A TCP, UDP or SCTP port number.
pub fn port_number(value: i64) -> Vec<String> {
    in_range(value, 1, 65535)
}

/// A number between two bounds, both allowed.
pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&value) {
        Vec::new()
    } else {
        vec![format!("must be between {min} and {max}, inclusive")]
    }
}

/// A percentage such as `25%`.
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    let text = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![pattern(text, "[0-9]+%", &["1%", "93%"])]
}

/// The name of an HTTP header.
pub fn http_header(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    let text = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![pattern(text, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// What fits into one segment of a URL path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Labels count bytes, names characters: two validators upstream.
fn max_bytes(value: &str, max: usize) -> Option<String> {
    (value.len() > max).then(|| format!("must be no more than {max} bytes"))
}

/// "must be no more than N characters" when it is longer.
pub fn max_length(value: &str, max: usize) -> Vec<String> {
    if value.len() <= max { Vec::new() } else { vec![format!("must be no more than {max} characters")] }
}

/// A sentence that ends with examples and the pattern, in upstream's form.
pub fn pattern(text: &str, form: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{form}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{form}')", examples.join(" or "))
}

fn is_dns1123_label_form(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

fn is_label_value_form(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases: &[(Rule, &str, bool, bool)] = &[
            (label_rule, "a-1", false, true),
            (label_rule, "a.b", false, false),
            (label_rule, "", false, false),
            (label_rule, "a-", false, false),
            (label_rule, "a-", true, true),
            (label_rule, "-", true, false),
            (label1035_rule, "1a", false, false),
            (label1035_rule, "", false, false),
            (subdomain_rule, "a.b-c.1", false, true),
            (subdomain_rule, "a..b", false, false),
            (path_segment_rule, "a:b", false, true),
            (path_segment_rule, "a/b", false, false),
            (path_segment_rule, "..", true, true),
        ];
        for (rule, name, prefix, valid) in cases {
            assert_eq!(rule(name, *prefix).is_empty(), *valid, "{name:?} prefix={prefix}");
        }
    }

    #[test]
    fn sentences() {
        assert_eq!(label_rule("a.b", false), ["must not contain dots"]);
        assert_eq!(
            qualified_name("a b"),
            [
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
              alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
              '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ]
        );
        assert_eq!(qualified_name("/x")[0], "prefix part must be non-empty");
        assert_eq!(label_value(&"x".repeat(64)), ["must be no more than 63 bytes"]);
    }
}
