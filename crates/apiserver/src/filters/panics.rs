//! A panic in a handler costs its own request only.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::error::Error;

/// Runs a request; a panic becomes a 500 and a log line.
pub(super) async fn catch<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // Locks do not poison and shared state changes by whole swaps, so nothing is left half done.
    match AssertUnwindSafe(request).catch_unwind().await {
        Ok(answered) => answered,
        Err(panic) => {
            tracing::error!(panic = text(&*panic), "a request panicked");
            Err(Error::internal("This request caused apiserver to panic. Look in the logs for details."))
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
