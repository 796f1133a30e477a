//! What pods need of the API: the objects that they refer to. The steps know only [`Objects`], so a kubelet without an API
//! server runs static pods with the same code.

mod cluster;
mod late;
mod offline;

use api_types::k8s::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service};
use async_trait::async_trait;
use jiff::Timestamp;

pub use cluster::Cluster;
pub use late::Late;
pub use offline::Offline;

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubelet runs without an API server, or has not reached it yet.
    #[error("{object} cannot be read: this kubelet is not connected to an API server")]
    Offline {
        /// Kind and name.
        object: String,
    },
    /// The API refused or failed.
    #[error("read {object}: {message}")]
    Request {
        /// Kind and name.
        object: String,
        /// The API's answer.
        message: String,
    },
}

/// A bound service-account token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The JWT.
    pub value: String,
    /// When it was asked for.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// Which token a pod asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// Pod's namespace.
    pub namespace: String,
    /// Service account.
    pub account: String,
    /// Audience; empty for the API server's.
    pub audience: String,
    /// Life time in seconds.
    pub seconds: i64,
    /// Pod name, to which the token is bound.
    pub pod: String,
    /// Pod UID, to which the token is bound.
    pub uid: String,
}

/// Objects that pods refer to. `None` means that the object does not exist.
#[async_trait]
pub trait Objects: Send + Sync {
    /// A ConfigMap.
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, Error>;
    /// A Secret.
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Error>;
    /// A claim.
    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<PersistentVolumeClaim>, Error>;
    /// A persistent volume.
    async fn persistent_volume(&self, name: &str) -> Result<Option<PersistentVolume>, Error>;
    /// A valid token, renewed when four fifths of its life are over (KEP-1205).
    async fn token(&self, key: &TokenKey) -> Result<Token, Error>;
    /// The runtime handler of a RuntimeClass.
    async fn runtime_handler(&self, class: &str) -> Result<Option<String>, Error>;
    /// All services, for environment variables; empty until they are known.
    fn services(&self) -> Vec<std::sync::Arc<Service>>;
    /// Whether services are known (always true without an API server).
    fn services_known(&self) -> bool;
}
