//! What a token says, and its compact form (RFC 7515).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{KeyError, SigningKey};

/// The claims of a token, old and new ones alike. Times are seconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub(super) aud: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub(super) exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub(super) iat: Option<i64>,
    pub(super) iss: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    pub(super) bound: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub(super) nbf: Option<i64>,
    pub(super) sub: String,
    #[serde(flatten)]
    pub(super) legacy: Legacy,
}

/// The private claims of a token made by a TokenRequest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Bound {
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Ref>,
    pub(super) serviceaccount: Ref,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub(super) warnafter: Option<i64>,
}

/// An object that a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ref {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) uid: String,
}

/// The private claims of a token kept in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Legacy {
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", skip_serializing_if = "String::is_empty")]
    pub(super) secret: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/service-account.name",
        skip_serializing_if = "String::is_empty"
    )]
    pub(super) account: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/service-account.uid",
        skip_serializing_if = "String::is_empty"
    )]
    pub(super) account_uid: String,
}

/// The header of a token.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kid: String,
}

/// A token taken apart; nothing of it is trusted yet.
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    pub(super) claims: Claims,
    /// What was signed.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// `None` when the token is not a signed JWT.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let signature = BASE64.decode(signature).ok()?;
        Some(Self { header: decode(header)?, claims: decode(claims)?, message, signature })
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(part).ok()?).ok()
}

/// The signed compact form.
pub(super) fn sign(key: &SigningKey, claims: &Claims) -> Result<String, KeyError> {
    let public = key.public();
    let header = Header { alg: public.algorithm.name().to_owned(), kid: public.id.clone() };
    let encode = |json: serde_json::Result<Vec<u8>>| {
        json.map(|j| BASE64.encode(j)).map_err(|_| KeyError::Sign("the claims are not JSON"))
    };
    let message = format!("{}.{}", encode(serde_json::to_vec(&header))?, encode(serde_json::to_vec(claims))?);
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", BASE64.encode(signature)))
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(from)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// A NumericDate (RFC 7519) may have a fraction; it counts for nothing here.
fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(from)?;
    Ok(number.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))))
}
