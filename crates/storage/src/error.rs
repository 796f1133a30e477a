//! What can go wrong between the registry and etcd, in terms the registry turns into a `Status`.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use crate::object::Object;

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a storage operation did not succeed. The text of the variants that reach API clients is upstream's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Create found the key taken: 409 `AlreadyExists`.
    #[error("key exists: {key}")]
    AlreadyExists {
        /// The etcd key.
        key: String,
    },

    /// Update or delete of an object that is gone: 404 `NotFound`.
    #[error("key not found: {key}")]
    NotFound {
        /// The etcd key.
        key: String,
    },

    /// The object changed since it was read. Holds what is stored now, so that the caller can retry without a read.
    #[error("the stored object has changed since it was read")]
    Conflict(Arc<Object>),

    /// The state or history asked for is compacted away: 410 `Expired`.
    #[error("{message}")]
    Expired {
        /// The message for the client.
        message: String,
        /// A token that continues the list from the same key at the newest revision, inconsistently. Goes into
        /// the `metadata.continue` of the `Status`.
        continue_token: Option<String>,
    },

    /// A revision was asked for that is not reached within the time to wait: 504 `Timeout` with the cause
    /// `ResourceVersionTooLarge` and a retry after one second.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLargeRevision {
        /// The revision of the request.
        requested: i64,
        /// The revision that this server has reached.
        current: i64,
    },

    /// The continue token is not one of ours: 400 `BadRequest`.
    #[error("invalid continue token: {0}")]
    InvalidContinue(String),

    /// The stored value cannot be read back: 500 `InternalError`.
    #[error("the value stored at {key} cannot be decoded: {reason}")]
    Corrupt {
        /// The etcd key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },

    /// The object cannot be stored (not a JSON object, empty name, …): a mistake in the caller.
    #[error("cannot store {key}: {reason}")]
    Unstorable {
        /// The etcd key.
        key: String,
        /// What is wrong.
        reason: String,
    },

    /// The object is larger than etcd accepts in one request: 413 `RequestEntityTooLarge`.
    #[error("etcd refuses the request for {key}: it is too large")]
    TooLarge {
        /// The etcd key.
        key: String,
    },

    /// etcd's space quota is used up; it accepts deletes only, until it is compacted, defragmented and disarmed.
    #[error("etcd is out of space: compact and defragment it, then run `etcdctl alarm disarm`")]
    NoSpace(#[source] Box<etcd_client::Error>),

    /// etcd does not answer now: 500 or 503, to be retried.
    #[error("etcd did not answer while {attempted}")]
    Unavailable {
        /// What was attempted.
        attempted: &'static str,
        /// The transport's or etcd's own error; `None` when our own deadline passed.
        #[source]
        source: Option<Box<etcd_client::Error>>,
    },

    /// The resource is being loaded from etcd for the first time and is not ready in time: 429 with retry.
    #[error("storage is (re)initializing: {resource}")]
    Initializing {
        /// `resource.group`.
        resource: String,
        /// When to come back.
        retry_after: Duration,
    },

    /// The resource was removed (its CustomResourceDefinition is gone) while the request ran: 404.
    #[error("the resource {resource} is no longer served")]
    Removed {
        /// `resource.group`.
        resource: String,
    },

    /// The options name something unusable: the process should say so and exit.
    #[error("etcd {option}: {reason}")]
    Options {
        /// The flag.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The error of a history that does not reach back far enough, worded as upstream words it.
    pub(crate) fn too_old(requested: i64, oldest: i64) -> Self {
        Error::Expired {
            message: format!("too old resource version: {requested} ({oldest})"),
            continue_token: None,
        }
    }
}

/// An error with all its causes, for a log line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let (cause, source) = match error.downcast_ref() {
            // Its own text shows its causes as Rust writes them, which is not for people.
            Some(etcd_client::Error::GRpcStatus(status)) => (status.message().to_owned(), status.source()),
            _ => (error.to_string(), error.source()),
        };
        // Transport errors of the layers below repeat their source.
        if !text.ends_with(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
        next = source;
    }
    text
}
