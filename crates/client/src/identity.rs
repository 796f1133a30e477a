//! Clients that act as a service account, with short-lived tokens asked of the server (TokenRequest).
//!
//! A controller manager that runs many controllers gives each its own rights this way, over one connection.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use api_types::k8s::api::core::v1::ServiceAccount;
use http::HeaderValue;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio_util::sync::CancellationToken;

use crate::transport::{Anonymous, Bearer};
use crate::{ErrorExt, connect};

/// How long a token is asked for.
const LIFETIME: i64 = 3600;
const RETRY: Duration = Duration::from_secs(5);

/// Makes clients for service accounts.
pub struct Accounts {
    root: Client,
    anonymous: Anonymous,
    namespace: String,
    shutdown: CancellationToken,
}

impl Accounts {
    /// Accounts of `namespace`; `root` may create them and ask for their tokens.
    ///
    /// # Errors
    /// When `options` do not describe a server.
    pub async fn new(
        root: Client,
        options: &connect::Options,
        namespace: &str,
        shutdown: CancellationToken,
    ) -> Result<Self, connect::Error> {
        let config = connect::config(options).await?;
        let server = config.cluster_url.to_string();
        let anonymous = Anonymous::new(config)
            .map_err(|source| connect::Error::Credentials { server, source: Box::new(source) })?;
        Ok(Self { root, anonymous, namespace: namespace.to_owned(), shutdown })
    }

    /// A client that acts as the account `name`, which is created when it does not exist. The token is renewed in the
    /// background when a fifth of its life is left.
    ///
    /// # Errors
    /// When the first token cannot be had.
    pub async fn client(&self, name: &str, user_agent: &str) -> Result<Client, kube::Error> {
        let bearer = Bearer::default();
        let pause = request(&self.root, &self.namespace, name, &bearer).await?;
        tokio::spawn(renew(
            self.root.clone(),
            self.namespace.clone(),
            name.to_owned(),
            Arc::clone(&bearer),
            pause,
            self.shutdown.clone(),
        ));
        self.anonymous.client(user_agent, bearer)
    }
}

async fn renew(
    root: Client,
    namespace: String,
    name: String,
    bearer: Bearer,
    mut pause: Duration,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match request(&root, &namespace, &name, &bearer).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(account = name, %error, "cannot renew the token of a service account, trying again");
                RETRY
            }
        };
    }
}

/// Puts a fresh token into `bearer`; gives when to ask again.
async fn request(
    root: &Client,
    namespace: &str,
    name: &str,
    bearer: &Bearer,
) -> Result<Duration, kube::Error> {
    let accounts = Api::<ServiceAccount>::namespaced(root.clone(), namespace);
    let wanted = TokenRequest {
        spec: Some(TokenRequestSpec { expiration_seconds: Some(LIFETIME), ..TokenRequestSpec::default() }),
        ..TokenRequest::default()
    };
    let answer = match accounts.create_token_request(name, &PostParams::default(), &wanted).await {
        Err(error) if error.is_not_found() => {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some(name.to_owned());
            match accounts.create(&PostParams::default(), &account).await {
                Err(error) if !error.is_already_exists() => return Err(error),
                _ => {}
            }
            accounts.create_token_request(name, &PostParams::default(), &wanted).await?
        }
        answer => answer?,
    };
    let status = answer.status.unwrap_or_default();
    let mut value = HeaderValue::from_str(&format!("Bearer {}", status.token.unwrap_or_default()))
        .map_err(|e| kube::Error::HttpError(e.into()))?;
    value.set_sensitive(true);
    *bearer.write() = Some(value);
    let life = status.expiration_timestamp.map(|at| at.0.duration_since(Timestamp::now()));
    let life = life.and_then(|life| Duration::try_from(life).ok()).unwrap_or(RETRY);
    Ok(life.mul_f64(0.8).max(RETRY))
}
