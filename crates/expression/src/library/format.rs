//! Named formats: what a text must look like.

use api_types::name;

use super::opaque::Opaque;
use super::{Outcome, Row, mismatch};
use crate::cost::Cost::{Text, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    (":format.named(string): optional<kubernetes.NamedFormat>", Unit, named),
    (":format.dns1123Label(): kubernetes.NamedFormat", Unit, |_| made("dns1123Label")),
    (":format.dns1123Subdomain(): kubernetes.NamedFormat", Unit, |_| made("dns1123Subdomain")),
    (":format.dns1035Label(): kubernetes.NamedFormat", Unit, |_| made("dns1035Label")),
    (":format.dns1123LabelPrefix(): kubernetes.NamedFormat", Unit, |_| made("dns1123LabelPrefix")),
    (":format.dns1123SubdomainPrefix(): kubernetes.NamedFormat", Unit, |_| made("dns1123SubdomainPrefix")),
    (":format.dns1035LabelPrefix(): kubernetes.NamedFormat", Unit, |_| made("dns1035LabelPrefix")),
    (":format.qualifiedName(): kubernetes.NamedFormat", Unit, |_| made("qualifiedName")),
    (":format.labelValue(): kubernetes.NamedFormat", Unit, |_| made("labelValue")),
    (":format.uri(): kubernetes.NamedFormat", Unit, |_| made("uri")),
    (":format.uuid(): kubernetes.NamedFormat", Unit, |_| made("uuid")),
    (":format.byte(): kubernetes.NamedFormat", Unit, |_| made("byte")),
    (":format.date(): kubernetes.NamedFormat", Unit, |_| made("date")),
    (":format.datetime(): kubernetes.NamedFormat", Unit, |_| made("datetime")),
    ("kubernetes.NamedFormat.validate(string): optional<list<string>>", Text, validate),
];

/// A format.
#[derive(Debug)]
pub struct Named {
    pub(crate) name: &'static str,
    /// What is wrong with a text.
    check: fn(&str) -> Vec<String>,
}

static FORMATS: [Named; 13] = [
    Named { name: "dns1123Label", check: name::dns1123_label },
    Named { name: "dns1123Subdomain", check: name::dns1123_subdomain },
    Named { name: "dns1035Label", check: name::dns1035_label },
    Named { name: "dns1123LabelPrefix", check: |text| name::label_rule(text, true) },
    Named { name: "dns1123SubdomainPrefix", check: |text| name::subdomain_rule(text, true) },
    Named { name: "dns1035LabelPrefix", check: |text| name::label1035_rule(text, true) },
    Named { name: "qualifiedName", check: name::qualified_name },
    Named { name: "labelValue", check: name::label_value },
    Named { name: "uri", check: uri },
    Named { name: "uuid", check: uuid },
    Named { name: "byte", check: byte },
    Named { name: "date", check: date },
    Named { name: "datetime", check: datetime },
];

fn find<'a>(name: &str) -> Option<Value<'a>> {
    FORMATS.iter().find(|f| f.name == name).map(|f| Value::Opaque(Opaque::Format(f)))
}

fn made<'a>(name: &str) -> Outcome<'a> {
    find(name).map_or_else(mismatch, Ok)
}

fn named<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(name)] => Ok(find(name).map_or(Value::Optional(None), Value::some)),
        _ => mismatch(),
    }
}

fn validate<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(Opaque::Format(format)), Value::String(text)] = args else { return mismatch() };
    let faults: Vec<Value<'a>> = (format.check)(text).into_iter().map(Value::text).collect();
    Ok(if faults.is_empty() { Value::Optional(None) } else { Value::some(Value::list(faults)) })
}

fn fault(holds: bool, message: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![message.to_owned()] }
}

fn uri(text: &str) -> Vec<String> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let plain = !text.bytes().any(|b| b <= b' ' || b == 0x7f);
    fault(plain && (named || text.starts_with('/')), "invalid URI")
}

fn uuid(text: &str) -> Vec<String> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|g| g.len()).collect();
    let hex = groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_hexdigit()));
    let holds = hex && (lengths == [8, 4, 4, 4, 12] || lengths == [32]);
    fault(holds, "does not match the UUID format")
}

fn byte(text: &str) -> Vec<String> {
    use base64::Engine as _;
    fault(base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    fault(text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(), "invalid date")
}

fn datetime(text: &str) -> Vec<String> {
    fault(text.parse::<jiff::Timestamp>().is_ok(), "invalid datetime")
}
