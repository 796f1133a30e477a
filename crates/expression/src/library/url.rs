//! URLs, as absolute URIs or absolute paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::opaque::Opaque;
use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Text, Unit};
use crate::value::{Key, Map, Value};

pub(super) const TABLE: &[Row] = &[
    ("url(string): kubernetes.URL", Text, url),
    ("isURL(string): bool", Text, is_url),
    ("kubernetes.URL.getScheme(): string", Unit, |a| part(a, |u| u.scheme.clone())),
    ("kubernetes.URL.getHost(): string", Unit, |a| part(a, |u| u.host.clone())),
    ("kubernetes.URL.getHostname(): string", Unit, |a| part(a, |u| u.hostname().to_owned())),
    ("kubernetes.URL.getPort(): string", Unit, |a| part(a, |u| u.port().to_owned())),
    ("kubernetes.URL.getEscapedPath(): string", Unit, |a| part(a, |u| u.path.clone())),
    ("kubernetes.URL.getQuery(): map<string, list<string>>", Unit, query),
];

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// With the port.
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty url".to_owned());
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text.starts_with('/') {
            let (path, query) = split_query(text);
            return Ok(Self { scheme: String::new(), host: String::new(), path: escaped(path)?, query });
        }
        let (scheme, rest) = text.split_once(':').ok_or("invalid URI for request")?;
        let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !named {
            return Err(if scheme.is_empty() {
                "missing protocol scheme"
            } else {
                "invalid URI for request"
            }
            .to_owned());
        }
        let Some(rest) = rest.strip_prefix("//") else {
            // An opaque URI such as `mailto:x` has neither host nor path.
            return Ok(Self {
                scheme: scheme.to_ascii_lowercase(),
                host: String::new(),
                path: String::new(),
                query: String::new(),
            });
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        check_host(host)?;
        let (path, query) = split_query(rest);
        Ok(Self { scheme: scheme.to_ascii_lowercase(), host: host.to_owned(), path: escaped(path)?, query })
    }

    fn hostname(&self) -> &str {
        if let Some(inner) = self.host.strip_prefix('[') {
            return inner.split(']').next().unwrap_or_default();
        }
        self.host.rsplit_once(':').map_or(&*self.host, |(name, _)| name)
    }

    fn port(&self) -> &str {
        let after = self.host.rsplit_once(']').map_or(&*self.host, |(_, after)| after);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

fn split_query(text: &str) -> (&str, String) {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    (path, query.to_owned())
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, after)) => after,
            None => return Err("missing ']' in host".to_owned()),
        },
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let numbered =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    if !numbered {
        return Err(format!("invalid port {port:?} after host"));
    }
    match host.chars().find(|c| " \"<>\\^`{|}".contains(*c)) {
        Some(c) => Err(format!("invalid character {:?} in host name", c.to_string())),
        None => Ok(()),
    }
}

/// A path with what must be escaped escaped; escapes that are there must be whole.
fn escaped(path: &str) -> Result<String, String> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    for (i, b) in bytes.iter().enumerate() {
        let whole = || bytes.len() > i + 2 && bytes[i + 1..i + 3].iter().all(u8::is_ascii_hexdigit);
        match b {
            b'%' if !whole() => {
                let end = path.len().min(i + 3);
                return Err(format!("invalid URL escape {:?}", path.get(i..end).unwrap_or("%")));
            }
            b if b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*%[]".contains(b) => {
                out.push(char::from(*b))
            }
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    Ok(out)
}

fn url<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = args else { return mismatch() };
    match Url::parse(text) {
        Ok(url) => Ok(Value::Opaque(Opaque::Url(Arc::new(url)))),
        Err(why) => Err(Error::new(format!(
            "URL parse error during conversion from string: parse {:?}: {why}",
            &**text
        ))),
    }
}

fn is_url<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Url::parse(text).is_ok())),
        _ => mismatch(),
    }
}

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> String) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Url(url))] => Ok(Value::text(of(url))),
        _ => mismatch(),
    }
}

fn query<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(Opaque::Url(url))] = args else { return mismatch() };
    let mut found: BTreeMap<Key, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            found.entry(Key::String(key.into())).or_default().push(Value::text(value));
        }
    }
    let entries = found.into_iter().map(|(key, values)| (key, Value::list(values))).collect();
    Ok(Value::Map(Map::Made(Arc::new(entries))))
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b => b,
        });
    }
    String::from_utf8(out).ok()
}
