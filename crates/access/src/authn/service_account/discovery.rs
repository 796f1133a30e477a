//! The documents by which others verify our tokens (OpenID Connect Discovery 1.0, RFC 7517).

use serde_json::{Value, json};

use super::keys::PublicKey;

/// The path of the key set, when no other address is configured.
pub const KEY_SET_PATH: &str = "/openid/v1/jwks";

/// `/.well-known/openid-configuration`. `key_set_uri` is where the keys are, `--service-account-jwks-uri` or
/// this server's own.
pub fn configuration(issuer: &str, key_set_uri: &str, keys: &[PublicKey]) -> Value {
    let mut algorithms: Vec<&str> = keys.iter().map(|key| key.algorithm.name()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    json!({
        "issuer": issuer,
        "jwks_uri": key_set_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    })
}

/// `/openid/v1/jwks`.
pub fn key_set(keys: &[PublicKey]) -> Value {
    json!({"keys": keys.iter().map(PublicKey::jwk).collect::<Vec<_>>()})
}
