//! Bootstrap tokens: what lets a new node prove that it may join, and recognise the cluster it joins.
//!
//! A token is `ID.SECRET` with 6 and 16 characters of a-z0-9. Its Secret in `kube-system` and the signature over
//! `kube-public/cluster-info` follow upstream's bootstrap-token design.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use rand::RngExt;
use ring::hmac;
use serde_json::{Value, json};

use crate::api;
use crate::failure::{Attempt, Failure, Result};
use crate::{kubeconfig, pki, progress};

/// The group whose members may ask for a node's certificate.
const NODE_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// A bootstrap token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    id: String,
    secret: String,
}

impl Token {
    /// A new random token.
    pub fn generate() -> Self {
        const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = rand::rng();
        let mut word = |length: usize| -> String {
            (0..length).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
        };
        Self { id: word(6), secret: word(16) }
    }

    /// Parses `ID.SECRET`.
    pub fn parse(text: &str) -> Result<Self> {
        let good = |word: &str, length: usize| {
            word.len() == length
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        match text.split_once('.') {
            Some((id, secret)) if good(id, 6) && good(secret, 16) => {
                Ok(Self { id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err(Failure::new("read the token", "it does not look like abcdef.0123456789abcdef").cure(
                "print a good one on the control plane with `bootstrap token create --print-join-command`",
            )),
        }
    }

    /// The public half, by which the token's Secret is found.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The Secret that makes the apiserver accept this token for `lifetime`; `None` for ever.
    pub fn secret_object(&self, lifetime: Option<Duration>, description: &str) -> Value {
        let mut data = json!({
            "token-id": self.id,
            "token-secret": self.secret,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": NODE_GROUP,
            "description": description,
        });
        if let Some(lifetime) = lifetime {
            let lifetime = SignedDuration::from_secs(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
            let end = Timestamp::now().saturating_add(lifetime).unwrap_or(Timestamp::MAX);
            data["expiration"] = json!(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": format!("bootstrap-token-{}", self.id), "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": data,
        })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.id, self.secret)
    }
}

/// The command line that joins a node to `server`.
pub fn join_command(server: &str, token: &Token, authority_pem: &str) -> Result<String> {
    let pin = pki::public_key_pin(authority_pem)?;
    let server = server.trim_start_matches("https://");
    Ok(format!("bootstrap join {server} --token {token} --discovery-token-ca-cert-hash {pin}"))
}

/// What a new node learns about the cluster: where its apiserver is and which CA to trust (PEM).
pub struct Discovered {
    /// The apiserver's URL.
    pub server: String,
    /// The cluster's CA.
    pub authority: String,
}

/// Reads `cluster-info` from `server`, and believes it only if `token` signed it and the CA in it is one of `pins`.
pub async fn discover(server: &str, token: &Token, pins: &[String]) -> Result<Discovered> {
    let client = api::connect_unverified(server)?;
    let what = format!("{server} to publish its cluster-info, signed for token {}", token.id);
    let found = progress::wait_for(&what, Duration::from_secs(60), Duration::from_millis(500), || async {
        let path = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
        let object = api::get(&client, path).await.map_err(|error| crate::failure::chain(&error))?;
        let object = object.ok_or("it has none")?;
        let text = object["data"]["kubeconfig"].as_str().ok_or("it holds no kubeconfig")?.to_owned();
        let signature = object["data"][format!("jws-kubeconfig-{}", token.id)].as_str();
        let signature =
            signature.ok_or("it is not signed for this token: is the token expired or mistyped?")?;
        Ok((text, signature.to_owned()))
    })
    .await;
    let (text, signature) = found.map_err(|failure| {
        failure.cure("check the address, that nothing blocks the port (firewall), and the token with `bootstrap token list` there")
    })?;
    if !signed_by(&text, &signature, token) {
        return Err(Failure::new(
            "trust the cluster-info",
            "its signature was not made with this token's secret",
        )
        .cure("check the token; if it is right, the answer comes from somebody else than your cluster"));
    }
    let (server, authority) = kubeconfig::server_of(&text)?;
    let pin = pki::public_key_pin(&authority)?;
    if !pins.is_empty() && !pins.contains(&pin) {
        return Err(Failure::new("trust the cluster's CA", format!("its key is {pin}, not the one that was named"))
            .cure("copy the join command again from the control plane: `bootstrap token create --print-join-command`"));
    }
    Ok(Discovered { server, authority })
}

/// Whether `signature`, a JWS with a detached payload (RFC 7515, appendix F), was made over `text` with the token.
fn signed_by(text: &str, signature: &str, token: &Token) -> bool {
    let parts: Vec<&str> = signature.split('.').collect();
    let [header, "", mac] = parts.as_slice() else { return false };
    let Ok(mac) = URL_SAFE_NO_PAD.decode(mac) else { return false };
    let header_json =
        URL_SAFE_NO_PAD.decode(header).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    if header_json.is_none_or(|header| header["alg"] != "HS256") {
        return false;
    }
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text));
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes()), signed.as_bytes(), &mac).is_ok()
}

/// A token as `bootstrap token list` shows it.
pub struct Listed {
    /// `ID.SECRET`.
    pub token: String,
    /// When it ends (RFC 3339), or `<forever>`.
    pub expires: String,
    /// What it may be used for.
    pub usages: String,
    /// Who made it what for.
    pub description: String,
}

/// Every bootstrap token of the cluster.
pub async fn list(client: &Client) -> Result<Vec<Listed>> {
    let path = "/api/v1/namespaces/kube-system/secrets?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken";
    let secrets = api::get(client, path).await.attempt(|| "list the bootstrap tokens")?.unwrap_or_default();
    let mut tokens = Vec::new();
    for secret in secrets["items"].as_array().into_iter().flatten() {
        let field = |key: &str| {
            let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap_or_default()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut usages = Vec::new();
        for usage in ["authentication", "signing"] {
            if field(&format!("usage-bootstrap-{usage}")) == "true" {
                usages.push(usage);
            }
        }
        let expires = field("expiration");
        tokens.push(Listed {
            token: format!("{}.{}", field("token-id"), field("token-secret")),
            expires: if expires.is_empty() { "<forever>".into() } else { expires },
            usages: usages.join(","),
            description: field("description"),
        });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(text: &str, token: &Token) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"kid\":\"{}\"}}", token.id));
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text));
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes());
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
    }

    #[test]
    fn only_the_tokens_own_signature_over_the_same_text_is_believed() {
        let token = Token::generate();
        let signature = sign("kubeconfig", &token);
        assert!(signed_by("kubeconfig", &signature, &token));
        assert!(!signed_by("kubeconfig!", &signature, &token));
        assert!(!signed_by("kubeconfig", &signature, &Token { secret: "0".repeat(16), ..token.clone() }));
        assert!(!signed_by("kubeconfig", "a.b.c", &token));
    }

    #[test]
    fn tokens_parse_as_they_print() {
        let token = Token::generate();
        assert_eq!(Token::parse(&token.to_string()).unwrap(), token);
        for wrong in ["", "abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef0"] {
            assert!(Token::parse(wrong).is_err(), "{wrong}");
        }
    }
}
