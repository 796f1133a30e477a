//! Handlers: resources, and everything else by path.

mod discovery;
mod path;
pub use path::page_not_found;
mod resource;

use std::sync::Arc;

use http::Response;

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
    match call.info.is_resource {
        true => resource::handle(server, call).await,
        false => path::handle(server, call).await,
    }
}
