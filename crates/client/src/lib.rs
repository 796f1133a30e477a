//! The client side of the Kubernetes API, for every process that is not the apiserver.
//!
//! ```text
//!  apiserver ──list+watch──► informer ──► Store (Arc<K>, indexes)
//!                               │ Subscription (changes, coalesced by key)
//!                               ▼
//!                    controller ──► queue ──► reconcile(key) ──► Writer ──► apiserver
//!                                     ▲                             │
//!                                     └── read-your-writes: the key waits until the informer has seen R
//! ```
//!
//! This is the only place in the workspace that lists and watches. It knows nothing of what any controller decides.

pub mod connect;
pub mod controller;
pub mod daemon;
pub mod delegated;
pub mod discovery;
pub mod events;
mod fetch;
pub mod identity;
pub mod informer;
pub mod leader;
pub mod owner;
pub mod queue;
mod transport;
mod trouble;
pub mod write;

pub use connect::connect;
pub use informer::{Change, Informer, Informers, Key, Object, Scope, Store, Subscription};
pub use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
pub use kube::core::Status;
pub use kube::{self, Client, Error, Resource, ResourceExt};
pub use trouble::Trouble;
pub use write::{Writer, Writes};

/// Reads of `kube::Error` that controllers need, by status code and reason, never by text.
pub trait ErrorExt {
    /// The object does not exist (404).
    fn is_not_found(&self) -> bool;
    /// A write lost a race (409 with reason Conflict).
    fn is_conflict(&self) -> bool;
    /// The name is taken (409 with reason AlreadyExists).
    fn is_already_exists(&self) -> bool;
    /// The namespace is being deleted, so nothing can be created in it.
    fn is_namespace_terminating(&self) -> bool;
    /// The HTTP status, when the server answered at all.
    fn status(&self) -> Option<u16>;
}

impl ErrorExt for kube::Error {
    fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(status) if status.code == 409 && status.reason == "Conflict")
    }
    fn is_already_exists(&self) -> bool {
        matches!(self, Self::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
    }
    fn is_namespace_terminating(&self) -> bool {
        let Self::Api(status) = self else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }
    fn status(&self) -> Option<u16> {
        match self {
            Self::Api(status) => Some(status.code),
            _ => None,
        }
    }
}
