//! What errors of etcd and of the transport mean. Only codes and types decide, never texts.

use std::error::Error as _;

use tonic::Code;

use super::Call;
use crate::error::Error;

/// Why a call has no answer.
pub(super) enum Failure {
    Etcd(etcd_client::Error),
    Deadline,
}

impl Failure {
    /// The failure in terms of the caller.
    pub fn into_error(self, call: Call<'_>) -> Error {
        Error::Unavailable {
            attempted: call.attempted,
            source: match self {
                Failure::Etcd(error) => Some(Box::new(error)),
                Failure::Deadline => None,
            },
        }
    }
}

/// The code of an error that etcd itself sent, or the transport in its place.
pub(super) fn code_of(error: &etcd_client::Error) -> Option<Code> {
    match error {
        etcd_client::Error::GRpcStatus(status) => Some(status.code()),
        _ => None,
    }
}

/// Whether a read may be answered when asked again.
pub(super) fn transient(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal
            )
        }
        etcd_client::Error::TransportError(_) | etcd_client::Error::IoError(_) => true,
        _ => false,
    }
}

/// Whether the error says that there was no connection to send the request on.
pub(super) fn never_sent(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else {
        return false;
    };
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
