//! Step: lifecycle hooks.

use std::time::Duration;

use api_types::k8s::api::core::v1::{Container, LifecycleHandler};

use super::handler::{self, Outcome};
use crate::cri::Runtime;

/// Runs postStart and preStop hooks.
#[derive(Clone)]
pub struct Hooks {
    runtime: Runtime,
}

/// A hook failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The handler ran and said no, or could not run.
    #[error("{0}")]
    Failed(String),
    /// No handler is given.
    #[error("invalid handler: a hook needs one of exec, httpGet, tcpSocket or sleep")]
    Empty,
}

impl Hooks {
    /// Hooks in containers of this runtime.
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// Runs a hook to its end. The caller bounds the time.
    pub async fn run(
        &self,
        container: &Container,
        hook: &LifecycleHandler,
        id: &str,
        ip: Option<&str>,
    ) -> Result<(), Error> {
        // Long enough never to be the limit: a hook may take as long as the pod's grace period.
        let limit = Duration::from_secs(24 * 3600);
        let outcome = if let Some(exec) = &hook.exec {
            handler::exec(&self.runtime, id, exec, Duration::ZERO).await
        } else if let Some(get) = &hook.http_get {
            handler::http_get(container, get, ip, limit, "kube-lifecycle").await
        } else if let Some(socket) = &hook.tcp_socket {
            handler::tcp(container, socket, ip, Duration::from_secs(30)).await
        } else if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            Outcome::Success
        } else {
            return Err(Error::Empty);
        };
        match outcome {
            Outcome::Success => Ok(()),
            Outcome::Failure(message) | Outcome::Unknown(message) => Err(Error::Failed(message)),
        }
    }
}
