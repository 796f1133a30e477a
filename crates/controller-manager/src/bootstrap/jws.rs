//! JSON Web Signatures with detached content (RFC 7515, appendix F).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};

/// Signs `content` with a bootstrap token: `header..signature`, HS256 keyed with the token's secret.
pub(super) fn detached(
    content: &str,
    token_id: &str,
    token_secret: &str,
) -> Result<String, jsonwebtoken::errors::Error> {
    let header = URL_SAFE_NO_PAD
        .encode(format!("{{\"alg\":\"HS256\",\"kid\":{}}}", serde_json::Value::from(token_id)));
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = EncodingKey::from_secret(token_secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256)?;
    Ok(format!("{header}..{signature}"))
}
