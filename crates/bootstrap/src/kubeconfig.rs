//! Kubeconfig files.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::failure::{Attempt, Failure, Result};
use crate::files::{self, Mode};
use crate::pki::Identity;

/// How the user of a kubeconfig proves who it is.
pub enum Credential<'a> {
    /// A client certificate inside the file.
    Certificate(&'a Identity),
    /// A bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig for `user` at `server`.
pub fn write(
    path: &Path,
    server: &str,
    authority_pem: &str,
    user: &str,
    credential: &Credential<'_>,
) -> Result<()> {
    let credential = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        }),
        Credential::Token(token) => json!({"token": token}),
    };
    let context = format!("{user}@kubernetes");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "kubernetes",
            "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(authority_pem)},
        }],
        "users": [{"name": user, "user": credential}],
        "contexts": [{"name": context, "context": {"cluster": "kubernetes", "user": user}}],
        "current-context": context,
    });
    let text = serde_yaml::to_string(&config).attempt(|| format!("render {}", path.display()))?;
    files::write(path, text, Mode::Secret)
}

/// The server and its CA certificate (PEM) in a kubeconfig's text.
pub fn server_of(text: &str) -> Result<(String, String)> {
    let attempted = || "read a kubeconfig";
    let config: serde_json::Value = serde_yaml::from_str(text).attempt(attempted)?;
    let cluster = &config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().ok_or_else(|| Failure::new(attempted(), "it names no server"))?;
    let authority = cluster["certificate-authority-data"].as_str();
    let authority =
        authority.ok_or_else(|| Failure::new(attempted(), "it has no certificate-authority-data"))?;
    let pem = STANDARD.decode(authority).attempt(attempted)?;
    Ok((server.to_owned(), String::from_utf8_lossy(&pem).into_owned()))
}
