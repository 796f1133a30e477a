//! Continue tokens, in upstream's form: URL-safe base64 of `{"v":"meta.k8s.io/v1","rv":N,"start":"key"}`.

use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{Engine, alphabet};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The revision of the list; negative for "whatever is newest", after the snapshot expired.
    pub revision: i64,
    /// The first key, below the list's prefix (which ends with the namespace, when the list is of one).
    pub start: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

/// Go's decoder, whose judgement clients know, overlooks bits after the last byte.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
const VERSION: &str = "meta.k8s.io/v1";

impl Token {
    /// The token that goes on after a key.
    pub fn after(key: &str, revision: i64) -> Self {
        // The least key greater than this one.
        Self { revision, start: format!("{key}\0") }
    }

    /// The token as clients see it.
    pub fn encode(&self) -> String {
        let wire = Wire { v: VERSION.to_owned(), rv: self.revision, start: self.start.clone() };
        // A struct of two strings and a number serialises.
        BASE64.encode(serde_json::to_vec(&wire).unwrap_or_default())
    }

    /// Reads a client's token.
    pub fn decode(text: &str) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidContinue(format!("continue key is not valid: {reason}"));
        let json = BASE64.decode(text).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
            };
            invalid(format!("illegal base64 data at input byte {at}"))
        })?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|error| invalid(json_error(&json, &error)))?;
        if wire.v != VERSION {
            return Err(invalid(format!("server does not recognize this encoded version {}", wire.v)));
        }
        if wire.rv == 0 {
            return Err(invalid(format!("incorrect encoded start resourceVersion (version {VERSION})")));
        }
        if wire.start.is_empty() {
            return Err(invalid(format!("no start key (version {VERSION})")));
        }
        // A start that climbs out of the list's prefix would read foreign keys.
        let climbs = wire.start.split('/').any(|part| part == ".." || part == ".");
        if climbs || wire.start.starts_with('/') || wire.start.contains("//") {
            return Err(invalid(wire.start));
        }
        Ok(Self { revision: wire.rv, start: wire.start })
    }
}

/// What upstream's clients are told about a token that is not JSON: its first byte, which Go reads as Latin-1.
fn json_error(json: &[u8], error: &serde_json::Error) -> String {
    match json.first() {
        None => "unexpected end of JSON input".to_owned(),
        Some(b'{') => error.to_string(),
        Some(byte) => format!("invalid character '{}' looking for beginning of value", char::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_to_the_client() {
        let token = Token::after("ns/a", 7);
        assert_eq!(token.start, "ns/a\0");
        let text = token.encode();
        assert_eq!(BASE64.decode(&text).unwrap(), br#"{"v":"meta.k8s.io/v1","rv":7,"start":"ns/a\u0000"}"#);
        assert_eq!(Token::decode(&text).unwrap(), token);
    }

    #[test]
    fn bad_tokens_are_refused_in_upstreams_words() {
        let encoded = |json: &str| BASE64.encode(json);
        let cases = [
            ("!!!".to_owned(), "illegal base64 data at input byte 0"),
            ("e30".to_owned(), "server does not recognize this encoded version "),
            ("zz".to_owned(), "invalid character 'Ï' looking for beginning of value"),
            (
                encoded(r#"{"v":"meta.k8s.io/v1","start":"a"}"#),
                "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (encoded(r#"{"v":"meta.k8s.io/v1","rv":1}"#), "no start key (version meta.k8s.io/v1)"),
            (encoded(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/x"}"#), "../secrets/x"),
        ];
        for (text, reason) in cases {
            let error = Token::decode(&text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("invalid continue token: continue key is not valid: {reason}")
            );
        }
    }
}
