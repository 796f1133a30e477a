//! Who may call the kubelet: identity by client certificate or token, rights by SubjectAccessReview on the node.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use client::delegated::{Attributes, Delegated, Options};
use http::request::Parts;
use http::{Method, StatusCode};

use super::State;
use super::answer::{Answer, text};
use crate::api::Late;

/// Decides about callers.
pub struct Auth {
    client: Arc<Late<client::Client>>,
    delegated: OnceLock<Delegated>,
    node: String,
    client_ca_file: Option<PathBuf>,
    anonymous: bool,
    always_allow: bool,
}

impl Auth {
    /// As configured.
    pub fn new(state: &State) -> Self {
        let configuration = &state.configuration;
        Self {
            client: state.client.clone(),
            delegated: OnceLock::new(),
            node: state.host.name.clone(),
            client_ca_file: configuration.authentication.x509.client_ca_file.clone(),
            anonymous: configuration.authentication.anonymous.enabled,
            always_allow: configuration.authorization.mode == "AlwaysAllow",
        }
    }

    /// `Ok` to serve, else the refusal.
    pub async fn admit(&self, parts: &Parts) -> Result<(), Box<Answer>> {
        if self.anonymous && self.always_allow {
            return Ok(());
        }
        let refuse = |status, why: String| Err(Box::new(text(status, why)));
        let Some(client) = self.client.get() else {
            let why = "this kubelet is not connected to an API server yet, so it cannot tell who you are\n";
            return refuse(StatusCode::SERVICE_UNAVAILABLE, why.into());
        };
        let make = || {
            let options = Options {
                client_ca_file: self.client_ca_file.clone(),
                always_allow_paths: Vec::new(),
                anonymous: self.anonymous,
            };
            Delegated::new((**client).clone(), options)
        };
        let delegated = self.delegated.get_or_init(make);
        let user = match delegated.authenticate(parts).await {
            Ok(Some(user)) => user,
            Ok(None) => return refuse(StatusCode::UNAUTHORIZED, "Unauthorized".into()),
            Err(error) => {
                tracing::warn!(%error, "Caller not authenticated: the API server cannot be asked");
                return refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error".into());
            }
        };
        if self.always_allow {
            return Ok(());
        }
        let verb = verb(&parts.method);
        let wanted = subresources(parts.uri.path());
        for subresource in &wanted {
            let attributes = Attributes::Resource {
                verb: verb.into(),
                group: String::new(),
                resource: "nodes".into(),
                subresource: (*subresource).into(),
                name: self.node.clone(),
            };
            match delegated.authorize(&user, &attributes).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "Caller not authorized: the API server cannot be asked");
                    let why =
                        format!("Authorization error (user={}, verb={verb}, resource=nodes)", user.name);
                    return refuse(StatusCode::INTERNAL_SERVER_ERROR, why);
                }
            }
        }
        let why = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)={wanted:?})\n",
            user.name
        );
        refuse(StatusCode::FORBIDDEN, why)
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// Subresources of nodes, of which any one will do: the fine-grained one first (KEP-2862).
fn subresources(path: &str) -> Vec<&'static str> {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match first {
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        "checkpoint" => vec!["checkpoint"],
        "pods" | "runningpods" => vec!["pods", "proxy"],
        "healthz" => vec!["healthz", "proxy"],
        "configz" => vec!["configz", "proxy"],
        _ => vec!["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_subresources_of_the_node() {
        for (path, expected) in [
            ("/stats/summary", "stats"),
            ("/metrics/cadvisor", "metrics"),
            ("/exec/ns/pod/c", "proxy"),
            ("/pods", "pods"),
            ("/configz", "configz"),
        ] {
            assert_eq!(subresources(path)[0], expected, "{path}");
        }
        assert_eq!(verb(&Method::POST), "create");
    }
}
