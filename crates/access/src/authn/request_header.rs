//! A front proxy that has authenticated the user and says so in headers.

use std::path::PathBuf;

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::x509::{CertificateAuthority, Peer};
use super::{Attempt, ConfigError, Identity};
use crate::UserInfo;

/// The `--requestheader-*` flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// `--requestheader-client-ca-file`: who may sign the proxy's certificate.
    pub client_ca_file: PathBuf,
    /// `--requestheader-allowed-names`: common names of proxies; empty admits every certificate of the CA.
    pub allowed_names: Vec<String>,
    /// `--requestheader-username-headers`.
    pub username_headers: Vec<String>,
    /// `--requestheader-uid-headers`.
    pub uid_headers: Vec<String>,
    /// `--requestheader-group-headers`.
    pub group_headers: Vec<String>,
    /// `--requestheader-extra-headers-prefix`.
    pub extra_header_prefixes: Vec<String>,
}

/// A front proxy's certificate authority and header names.
pub(super) struct FrontProxy {
    authority: CertificateAuthority,
    config: RequestHeaders,
}

impl FrontProxy {
    pub(super) fn load(config: RequestHeaders) -> Result<Self, ConfigError> {
        let authority = CertificateAuthority::load("--requestheader-client-ca-file", &config.client_ca_file)?;
        Ok(Self { authority, config })
    }

    /// Reads the file of the proxy's signers again; whether it has changed.
    pub(super) fn reload(&self) -> Result<bool, ConfigError> {
        self.authority.reload()
    }

    /// The user that the proxy names, when the peer is a proxy.
    pub(super) fn authenticate(&self, peer: &Peer, headers: &HeaderMap, now: Timestamp) -> Attempt {
        // Without the header no proxy speaks; the certificate is then the user's own.
        let Some(name) = self.config.username_headers.iter().find_map(|h| value(headers, h)) else {
            return Ok(None);
        };
        let common_name = self.authority.verify_front_proxy(peer, now)?;
        let allowed = &self.config.allowed_names;
        if !allowed.is_empty() && !allowed.contains(&common_name) {
            return Err(format!("x509: subject with cn={common_name} is not in the allowed list"));
        }
        let uid = self.config.uid_headers.iter().find_map(|h| value(headers, h)).unwrap_or_default();
        let groups = self.config.group_headers.iter().flat_map(|h| headers.get_all(h.as_str()));
        let groups: Vec<String> = groups.filter_map(|v| v.to_str().ok()).map(str::to_owned).collect();
        let mut user = UserInfo { uid, ..UserInfo::new(name, groups) };
        for prefix in &self.config.extra_header_prefixes {
            collect_extra(headers, prefix, &mut user);
        }
        Ok(Some(Identity { user, audiences: Vec::new() }))
    }
}

/// Takes out the headers by which front proxies speak: the usual ones, and those that are configured.
pub(super) fn strip(proxy: Option<&FrontProxy>, headers: &mut HeaderMap) {
    const USUAL: &str = "x-remote-";
    let config = proxy.map(|proxy| &proxy.config);
    let is_configured = |name: &str| {
        config.is_some_and(|config| {
            let names =
                config.username_headers.iter().chain(&config.uid_headers).chain(&config.group_headers);
            let starts = |prefix: &String| {
                name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            };
            names.into_iter().any(|known| known.eq_ignore_ascii_case(name))
                || config.extra_header_prefixes.iter().any(starts)
        })
    };
    let spoken: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(USUAL) || is_configured(name.as_str()))
        .cloned()
        .collect();
    for name in spoken {
        headers.remove(name);
    }
}

/// Adds the headers `<prefix><key>` to the user's extra attributes. Keys are lower case and percent-encoded.
pub(super) fn collect_extra(headers: &HeaderMap, prefix: &str, user: &mut UserInfo) {
    let prefix = prefix.to_ascii_lowercase();
    for (name, value) in headers {
        let Some(key) = extra_key(name, &prefix) else { continue };
        if let Ok(value) = value.to_str() {
            user.extra.entry(key).or_default().push(value.to_owned());
        }
    }
}

fn extra_key(name: &HeaderName, prefix: &str) -> Option<String> {
    name.as_str().strip_prefix(prefix).map(percent_decode)
}

/// Decodes `%2f` and the like; what is not a valid escape stays as it is.
fn percent_decode(text: &str) -> String {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match (bytes[i], digit(bytes.get(i + 1)), digit(bytes.get(i + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            (other, ..) => {
                out.push(other);
                i += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{percent_decode, strip};

    #[test]
    fn nobody_else_speaks_as_a_front_proxy() {
        let mut headers = HeaderMap::new();
        for name in ["x-remote-user", "x-remote-group", "x-remote-extra-scopes", "accept"] {
            headers.append(name, HeaderValue::from_static("v"));
        }
        strip(None, &mut headers);
        assert_eq!(headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn extra_keys_are_percent_decoded() {
        for (given, decoded) in [
            ("scopes", "scopes"),
            ("example.com%2fproject", "example.com/project"),
            ("a%", "a%"),
            ("a%zz", "a%zz"),
        ] {
            assert_eq!(percent_decode(given), decoded);
        }
    }
}
