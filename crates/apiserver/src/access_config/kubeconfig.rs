//! Servers that are asked, as a kubeconfig file describes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;

use super::{ConfigError, read};
use crate::outbound::{CallError, Client, Destination, NoServices, tls};

/// How often a question is asked when the server does not answer, and the pause before the second time.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Kubeconfig {
    current_context: String,
    clusters: Vec<Named>,
    users: Vec<Named>,
    contexts: Vec<Named>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
    cluster: Cluster,
    user: User,
    context: Context,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

/// What asks the server of a kubeconfig file's current context.
///
/// # Errors
/// The file, or one that it names, cannot be read or used.
pub fn reviewer(
    flag: &'static str,
    path: &Path,
    limit: Duration,
) -> Result<Arc<dyn access::Reviewer>, ConfigError> {
    let wrong = |why: &dyn std::fmt::Display| ConfigError::content(flag, path, why);
    let config: Kubeconfig = serde_yaml::from_str(&read(flag, path)?).map_err(|error| wrong(&error))?;
    let (cluster, user) = config.current().map_err(|why| wrong(&why))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let material = |file: &Option<PathBuf>, data: &Option<String>| material(flag, path, folder, file, data);
    let bundle = material(&cluster.certificate_authority, &cluster.certificate_authority_data)?;
    let certificate = material(&user.client_certificate, &user.client_certificate_data)?;
    let key = material(&user.client_key, &user.client_key_data)?;
    let trust = match &bundle {
        _ if cluster.insecure_skip_tls_verify => tls::Trust::Anybody,
        Some(bundle) => tls::Trust::Bundle(bundle),
        None => tls::Trust::Host,
    };
    let identity = certificate.as_deref().zip(key.as_deref());
    let tls = tls::config(trust, identity).map_err(|error| wrong(&error))?;
    let server =
        cluster.server.parse().map_err(|error| wrong(&format!("server {:?}: {error}", cluster.server)))?;
    let mut client = Client::new(Destination::Url(server), Arc::new(tls), Arc::new(NoServices));
    let token = match (&user.token, &user.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(read(flag, &folder.join(file))?.trim().to_owned()),
        (None, None) => None,
    };
    if let Some(token) = token {
        let header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| wrong(&error))?;
        client = client.with_header(AUTHORIZATION, header);
    }
    Ok(Arc::new(Server { client, limit }))
}

impl Kubeconfig {
    fn current(&self) -> Result<(Cluster, User), String> {
        let find = |list: &[Named], name: &str| list.iter().position(|named| named.name == name);
        let context = find(&self.contexts, &self.current_context)
            .map(|at| self.contexts[at].context.clone())
            .ok_or_else(|| format!("current-context {:?} is not among the contexts", self.current_context))?;
        let cluster = find(&self.clusters, &context.cluster)
            .map(|at| self.clusters[at].cluster.clone())
            .ok_or_else(|| format!("cluster {:?} is not among the clusters", context.cluster))?;
        let user = find(&self.users, &context.user).map(|at| self.users[at].user.clone());
        Ok((cluster, user.unwrap_or_default()))
    }
}

/// The content of a file, or base64 text that stands for it. Files are named from the kubeconfig's own folder.
fn material(
    flag: &'static str,
    path: &Path,
    folder: &Path,
    file: &Option<PathBuf>,
    data: &Option<String>,
) -> Result<Option<Vec<u8>>, ConfigError> {
    match (data, file) {
        (Some(data), _) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(data);
            decoded.map(Some).map_err(|error| ConfigError::content(flag, path, error))
        }
        (None, Some(file)) => read(flag, &folder.join(file)).map(|text| Some(text.into_bytes())),
        (None, None) => Ok(None),
    }
}

/// One server.
struct Server {
    client: Client,
    limit: Duration,
}

#[async_trait]
impl access::Reviewer for Server {
    async fn review(&self, review: &Value) -> Result<Value, String> {
        let body = bytes::Bytes::from(review.to_string());
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let failure = match self.client.post("", body.clone(), self.limit).await {
                Ok(answer) => return serde_json::from_slice(&answer).map_err(|error| error.to_string()),
                Err(failure) => failure,
            };
            let passing = match &failure {
                CallError::NoAnswer { timed_out, .. } => !timed_out,
                CallError::Refused { code, .. } => *code == 429 || *code >= 500,
            };
            if !passing || attempt == ATTEMPTS {
                return Err(failure.to_string());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_names_server_and_user() {
        let text = "
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: k, cluster: {server: 'https://hook:8443/x', insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: k, user: u}}]
";
        let config: Kubeconfig = serde_yaml::from_str(text).unwrap();
        let (cluster, user) = config.current().unwrap();
        assert_eq!((cluster.server.as_str(), user.token.as_deref()), ("https://hook:8443/x", Some("t")));
        let lost: Kubeconfig = serde_yaml::from_str("current-context: d").unwrap();
        assert_eq!(lost.current().err().unwrap(), "current-context \"d\" is not among the contexts");
    }
}
