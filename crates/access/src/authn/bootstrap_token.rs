//! Bootstrap tokens: `<id>.<secret>`, kept as Secrets of type `bootstrap.kubernetes.io/token` in
//! `kube-system`.

use jiff::Timestamp;

use super::live::{self, Secret};
use crate::{Lookup, ObjectRef, UserInfo, names};

const NAMESPACE: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// Whose a token is. A token that is malformed, unknown, expired or not meant for authentication is nobody's.
pub(super) async fn authenticate(lookup: &dyn Lookup, token: &str, now: Timestamp) -> Option<UserInfo> {
    let (id, secret) = parse(token)?;
    let name = format!("bootstrap-token-{id}");
    let stored: Secret = live::get(lookup, ObjectRef::core("secrets", NAMESPACE, &name)).await?;
    check(&stored, id, secret, now)
        .inspect_err(|why| tracing::debug!(token_id = id, why, "bootstrap token refused"))
        .ok()
}

fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && plain(id) && plain(secret))
        .then_some((id, secret))
}

fn check(stored: &Secret, id: &str, secret: &str, now: Timestamp) -> Result<UserInfo, &'static str> {
    let is = |key: &str, value: &str| stored.text(key).is_some_and(|v| live::same_secret(&v, value));
    if stored.metadata.deletion_timestamp.is_some() {
        return Err("its secret is being deleted");
    }
    if stored.kind != SECRET_TYPE {
        return Err("its secret is of another type");
    }
    if !is("token-secret", secret) || !is("token-id", id) {
        return Err("its secret does not match");
    }
    if let Some(expiration) = stored.text("expiration") {
        match expiration.parse::<Timestamp>() {
            Ok(at) if at > now => {}
            Ok(_) => return Err("it has expired"),
            Err(_) => return Err("its expiration cannot be read"),
        }
    }
    if !is("usage-bootstrap-authentication", "true") {
        return Err("it is not for authentication");
    }
    let mut groups = vec![names::BOOTSTRAPPERS.to_owned()];
    for group in stored.text("auth-extra-groups").unwrap_or_default().split(',').filter(|g| !g.is_empty()) {
        if !valid_group(group) {
            return Err("it names a group outside system:bootstrappers:");
        }
        groups.push(group.to_owned());
    }
    groups.sort();
    groups.dedup();
    Ok(UserInfo::new(format!("{}{id}", names::BOOTSTRAP_USER_PREFIX), groups))
}

/// `system:bootstrappers:` and up to 256 of `a-z 0-9 : -`, ending in a letter or digit.
fn valid_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().all(|b| alnum(b) || b == b':' || b == b'-')
        && rest.bytes().last().is_some_and(alnum)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::{Map, Value, json};

    use super::*;

    fn secret(fields: &[(&str, &str)]) -> Secret {
        let encode = |v: &str| Value::from(base64::engine::general_purpose::STANDARD.encode(v));
        let data: Map<String, Value> = fields.iter().map(|(k, v)| ((*k).to_owned(), encode(v))).collect();
        serde_json::from_value(json!({"type": SECRET_TYPE, "data": data})).unwrap()
    }

    #[test]
    fn only_a_good_token_is_somebody() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let base = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ];
        let with = |more: &[(&'static str, &'static str)]| secret(&[&base[..], more].concat());
        let cases = [
            (with(&[]), Ok(vec!["system:bootstrappers"])),
            (
                with(&[("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token")]),
                Ok(vec!["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"]),
            ),
            (
                with(&[("auth-extra-groups", "system:masters")]),
                Err("it names a group outside system:bootstrappers:"),
            ),
            (with(&[("expiration", "2025-12-31T23:59:59Z")]), Err("it has expired")),
            (with(&[("expiration", "2026-01-01T00:00:01Z")]), Ok(vec!["system:bootstrappers"])),
            (with(&[("expiration", "soon")]), Err("its expiration cannot be read")),
            (with(&[("token-secret", "ffffffffffffffff")]), Err("its secret does not match")),
            (secret(&base[..2]), Err("it is not for authentication")),
        ];
        for (stored, expected) in cases {
            let got = check(&stored, "abcdef", "0123456789abcdef", now).map(|user| {
                assert_eq!(user.name, "system:bootstrap:abcdef");
                user.groups
            });
            assert_eq!(got, expected.map(|g| g.into_iter().map(str::to_owned).collect()));
        }
        assert_eq!(parse("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for bad in
            ["", "abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef.x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
