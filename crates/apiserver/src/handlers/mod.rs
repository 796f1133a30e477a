//! Handlers: resources, and everything else by path.

mod discovery;
pub(crate) mod pages;
mod path;
pub use path::page_not_found;
mod resource;

use std::sync::Arc;

use http::Response;

use crate::aggregation::{self, Remote};
use crate::error::Result;
use crate::filters::Call;
use crate::http::body::Body;
use crate::server::Server;

/// Answers a request that has passed all filters.
///
/// # Errors
/// Whatever the client has to be told.
pub async fn handle(server: &Arc<Server>, call: Call) -> Result<Response<Body>> {
    // The path is matched as it is written.
    if call.info.path.starts_with("//") {
        return Ok(page_not_found());
    }
    if let Some(remote) = remote(server, &call.info.path) {
        return aggregation::serve(remote, call).await;
    }
    match call.info.is_resource {
        true => resource::handle(server, call).await,
        false => path::handle(server, call).await,
    }
}

/// The other server whose business a path is: a group version that is registered as its own, or the OpenAPI document of
/// one.
fn remote(server: &Server, path: &str) -> Option<Arc<Remote>> {
    server.aggregator.find_path(path.strip_prefix("/openapi/v3").unwrap_or(path))
}
