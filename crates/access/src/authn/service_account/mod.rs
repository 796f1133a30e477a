//! Service account tokens: signed here, and verified against the live objects they are bound to.
//!
//! ```text
//!  TokenRequest ──► Issuer ──► JWT ──► Verifier: signature (kept) ──► audiences, times ──► account, pod, secret, node alive?
//! ```

mod claims;
mod discovery;
mod issuer;
mod keys;
#[cfg(test)]
mod tests;
mod verifier;

pub use discovery::{KEY_SET_PATH, configuration, key_set};
pub use issuer::{Issuer, create_token};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use verifier::Verifier;
